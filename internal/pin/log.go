package pin

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"

	"nixos-staged-hive/internal/progress"
)

// Numbers of Nix' internal-json log (src/libutil/logging.hh, unchanged from 2.8 to 2.34).
const (
	resultProgress = 105
	levelError     = 0
	levelWarning   = 1
	levelInfo      = 3
	levelChatty    = 5 // "unpacking …" and "adding … to the store"
)

// maxLine bounds what is kept of a line without an end.
const maxLine = 1 << 20

// nixLog reads the log of one nix program: movement goes to the sink, messages are kept as plain text for the error.
type nixLog struct {
	sink progress.Sink
	last progress.Event // of the running task; also gives task and host
	line []byte
	text strings.Builder
}

type logEntry struct {
	Action string            `json:"action"`
	Type   int               `json:"type"`
	Level  int               `json:"level"`
	Text   string            `json:"text"`
	Msg    string            `json:"msg"`
	RawMsg string            `json:"raw_msg"`
	Fields []json.RawMessage `json:"fields"`
}

func (l *nixLog) Write(p []byte) (int, error) {
	for _, part := range bytes.SplitAfter(p, []byte("\n")) {
		if len(l.line) < maxLine {
			l.line = append(l.line, part...)
		}
		if bytes.HasSuffix(part, []byte("\n")) {
			l.flush()
		}
	}
	return len(p), nil
}

func (l *nixLog) flush() {
	line := bytes.TrimRight(l.line, "\r\n")
	l.line = l.line[:0]
	if len(line) == 0 {
		return
	}
	body, isNix := bytes.CutPrefix(line, []byte("@nix "))
	var e logEntry
	if !isNix || json.Unmarshal(body, &e) != nil {
		l.keep(string(line))
		return
	}
	l.take(e)
}

func (l *nixLog) take(e logEntry) {
	next := l.last
	switch {
	case e.Action == "start" && e.Text != "" && e.Level <= levelChatty:
		next.Text, next.Done, next.Total = oneLine(e.Text), 0, 0
	case e.Action == "result" && e.Type == resultProgress && len(e.Fields) >= 2:
		var done, total int64
		if json.Unmarshal(e.Fields[0], &done) != nil || json.Unmarshal(e.Fields[1], &total) != nil || total <= 0 {
			return
		}
		next.Done, next.Total = done, total
	case e.Action == "msg":
		l.message(e)
		if e.Level != levelWarning {
			return
		}
		next.Text = oneLine(plainText(e.Msg)) // "unable to download …; retrying in 269 ms"
	default:
		return
	}
	if next != l.last {
		l.last = next
		l.sink.Send(next)
	}
}

func (l *nixLog) message(e logEntry) {
	if e.Level > levelInfo {
		return
	}
	text := plainText(e.Msg)
	if e.Level == levelError && e.RawMsg != "" {
		text = "error: " + plainText(e.RawMsg)
	}
	l.keep(text)
}

func (l *nixLog) keep(line string) {
	if l.text.Len() < maxLine {
		l.text.WriteString(line + "\n")
	}
}

// messages is what a person would have read on the terminal.
func (l *nixLog) messages() []byte {
	l.flush()
	return []byte(l.text.String())
}

var ansi = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")

func plainText(s string) string { return ansi.ReplaceAllString(s, "") }

func oneLine(s string) string {
	first, _, _ := strings.Cut(strings.TrimSpace(plainText(s)), "\n")
	return first
}
