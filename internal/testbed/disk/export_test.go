package disk

// Write tries a spec's table on a disk of 64 MiB that keeps nothing.
func Write(s Spec) error {
	s.Size, s.Sector = 64*mib, 512
	return s.write(nowhere{})
}

type nowhere struct{}

func (nowhere) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
