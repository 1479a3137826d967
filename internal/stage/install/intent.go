package install

import (
	"context"

	"nixos-staged-hive/internal/hive"
)

// Intent asks what an installation would do, and has nothing done.
func (m *Medium) Intent(ctx context.Context, host hive.Host, mode hive.Mode) (hive.Intent, error) {
	return (&conversation{medium: m, order: Order{Host: host, Mode: mode}}).plan(ctx)
}
