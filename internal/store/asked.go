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

// asked is the file of what callers of the API have asked for. As the state it
// is true for one boot and one network namespace only.
const asked = "asked"

// SaveAsked writes down what callers have asked for.
func SaveAsked(dir string, v any) error {
	head, err := json.Marshal(currentHeader())
	if err != nil {
		return err
	}
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	b := bytes.Join([][]byte{head, body, nil}, []byte("\n"))
	if err := SaveFile(filepath.Join(dir, asked), b, 0o600); err != nil {
		return fmt.Errorf("save what was asked for: %w", err)
	}
	return nil
}

// ReadAsked reads into v what SaveAsked wrote; false when there is nothing, or
// it is of another boot or network namespace. The error is about a file that
// cannot be read: it counts as nothing.
func ReadAsked(dir string, v any) (bool, error) {
	b, err := os.ReadFile(filepath.Join(dir, asked))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read what was asked for: %w", err)
	}
	return parseAsked(b, currentHeader(), v)
}

func parseAsked(b []byte, want header, v any) (bool, error) {
	head, body, _ := bytes.Cut(b, []byte("\n"))
	var h header
	if err := json.Unmarshal(head, &h); err != nil {
		return false, fmt.Errorf("read what was asked for: %w", err)
	}
	if h != want {
		return false, nil
	}
	if err := json.Unmarshal(body, v); err != nil {
		return false, fmt.Errorf("read what was asked for: %w", err)
	}
	return true, nil
}
