package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Files that, as the state, are true for one boot and one network namespace
// only, and are written as a whole.
const (
	asked = "asked" // what callers of the API have asked for
	made  = "made"  // what has been made on dataplanes
	// Who runs the bridges of Open vSwitch, and what of it holds across boots.
	switches = "switches"
	bridges  = "bridges"
)

// SaveAsked writes down what callers have asked for.
func SaveAsked(dir string, v any) error { return save(dir, asked, v) }

// ReadAsked reads into v what SaveAsked wrote; false when there is nothing, or
// it is of another boot or network namespace. The error is about a file that
// cannot be read: it counts as nothing.
func ReadAsked(dir string, v any) (bool, error) { return load(dir, asked, v) }

// SaveMade writes down what has been made on dataplanes.
func SaveMade(dir string, v any) error { return save(dir, made, v) }

// ReadMade reads into v what SaveMade wrote, as ReadAsked.
func ReadMade(dir string, v any) (bool, error) { return load(dir, made, v) }

// SaveSwitches writes down who runs the bridges of Open vSwitch: for this boot in
// dir, and for later ones in lasting.
func SaveSwitches(dir, lasting string, v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		err = SaveFile(filepath.Join(lasting, bridges), append(b, '\n'), 0o600)
	}
	return errors.Join(save(dir, switches, v), err)
}

// ReadSwitches reads into v what SaveSwitches wrote. same: it is of this boot and
// network namespace. The error is about files that cannot be read: they count
// as nothing.
func ReadSwitches(dir, lasting string, v any) (same bool, err error) {
	same, err = load(dir, switches, v)
	if same {
		return true, err
	}
	b, lerr := os.ReadFile(filepath.Join(lasting, bridges))
	if errors.Is(lerr, fs.ErrNotExist) {
		return false, err
	}
	if lerr == nil {
		lerr = json.Unmarshal(b, v)
	}
	if lerr != nil {
		err = errors.Join(err, fmt.Errorf("read %s: %w", filepath.Join(lasting, bridges), lerr))
	}
	return false, err
}

func save(dir, name string, v any) error {
	head, err := json.Marshal(currentHeader())
	if err != nil {
		return err
	}
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	b := bytes.Join([][]byte{head, body, nil}, []byte("\n"))
	if err := SaveFile(filepath.Join(dir, name), b, 0o600); err != nil {
		return fmt.Errorf("save %s: %w", name, err)
	}
	return nil
}

func load(dir, name string, v any) (bool, error) {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		var there bool
		if there, err = parseWhole(b, currentHeader(), v); err == nil {
			return there, nil
		}
	}
	return false, fmt.Errorf("read %s: %w", filepath.Join(dir, name), err)
}

// parseWhole reads the text of such a file.
func parseWhole(b []byte, want header, v any) (bool, error) {
	head, body, _ := bytes.Cut(b, []byte("\n"))
	var h header
	if err := json.Unmarshal(head, &h); err != nil {
		return false, err
	}
	if h != want {
		return false, nil
	}
	if err := json.Unmarshal(body, v); err != nil {
		return false, err
	}
	return true, nil
}
