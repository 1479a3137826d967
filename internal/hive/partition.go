package hive

// Bytes is the size that a partition is laid out with, false where it depends on the disk ("100%", "50%") or is told otherwise than with a
// unit.
func (p Partition) Bytes() (int64, bool) { return parseSize(p.Size) }
