package matrix

import (
	"path/filepath"
	"testing"
	"time"
)

func TestFirst(t *testing.T) {
	dir := "/tmp/eng-g/run"
	m := makeMedium(t, dir)
	for _, host := range []string{"plain"} {
		disk := filepath.Join(dir, "main.disk")
		must(t, blank(disk))
		s := time.Now()
		r, err := m.install(t.Context(), dir, host, "fresh", []string{disk}, cut{}, nil, nil)
		t.Log(time.Since(s), r.Code, err, r.Writes)
		for i, e := range r.Events {
			if e.State == "running" { continue }
			t.Log(i, e.Time.Format("05.000"), e.Phase, e.State, e.Text, e.Error)
		}
		s = time.Now()
		said, err := m.start(t.Context(), dir, []string{disk})
		t.Log(time.Since(s), said, err)
	}
}
