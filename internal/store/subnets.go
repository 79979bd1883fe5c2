package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// subnets is the file of who has which subnet of IPv6 prefixes. Other than the
// state it holds across boots: hosts keep their addresses.
const subnets = "subnets"

// SaveSubnets writes down who has which subnet, in each of the directories.
func SaveSubnets(v any, dirs ...string) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range dirs {
		if err := SaveFile(filepath.Join(dir, subnets), append(b, '\n'), 0o600); err != nil {
			errs = append(errs, fmt.Errorf("save who has which subnet: %w", err))
		}
	}
	return errors.Join(errs...)
}

// ReadSubnets reads into v what SaveSubnets wrote, from the first of the
// directories that has it; false when none has. The error is about files that
// cannot be read: they count as not there.
func ReadSubnets(v any, dirs ...string) (bool, error) {
	var errs []error
	for _, dir := range dirs {
		b, err := os.ReadFile(filepath.Join(dir, subnets))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = json.Unmarshal(b, v)
		}
		if err == nil {
			return true, errors.Join(errs...)
		}
		errs = append(errs, fmt.Errorf("read who has which subnet: %w", err))
	}
	return false, errors.Join(errs...)
}
