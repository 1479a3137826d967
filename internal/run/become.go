package run

import (
	"fmt"
	"syscall"
)

// Become replaces this process by a program, which keeps its streams, its process id and its parent. argv includes the name. It returns
// only if that fails.
func Become(path string, argv, environ []string) error {
	return fmt.Errorf("become %s: %w", path, syscall.Exec(path, argv, environ)) //nolint:gosec // the caller's program
}
