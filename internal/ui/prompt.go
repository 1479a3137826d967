package ui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"
	"charm.land/huh/v2"
	"github.com/charmbracelet/x/term"
)

// NotTerminalError is a question that nobody is there to answer.
type NotTerminalError struct{ Question string }

func (e *NotTerminalError) Error() string {
	return fmt.Sprintf("cannot ask %q: standard input and standard error are not both a terminal", e.Question)
}

// Confirm asks a yes-or-no question. preset is the answer to a bare Enter. Ctrl-C is an error that wraps context.Canceled, here and in
// the other questions.
func (s *Streams) Confirm(ctx context.Context, question string, preset bool) (bool, error) {
	answer := preset
	field := huh.NewConfirm().Title(question).Value(&answer)
	choices := map[bool]string{true: " [Y/n]", false: " [y/N]"}
	err := s.ask(ctx, question, field, question+choices[preset], func(line string) error {
		switch strings.ToLower(line) {
		case "":
			answer = preset
		case "y", "yes":
			answer = true
		case "n", "no":
			answer = false
		default:
			return errors.New("answer y or n")
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	s.record(question, map[bool]string{true: "yes", false: "no"}[answer])
	return answer, nil
}

// Ask asks for a line of text. preset is the answer to a bare Enter; check, which may be nil, says what is wrong with an answer.
func (s *Streams) Ask(ctx context.Context, question, preset string, check func(string) error) (string, error) {
	if check == nil {
		check = func(string) error { return nil }
	}
	answer := preset
	field := huh.NewInput().Title(question).Value(&answer).Validate(check)
	prompt := question
	if preset != "" {
		prompt += " [" + preset + "]"
	}
	err := s.ask(ctx, question, field, prompt, func(line string) error {
		if line == "" {
			line = preset
		}
		answer = line
		return check(line)
	})
	if err != nil {
		return "", err
	}
	s.record(question, answer)
	return answer, nil
}

// AskSecret asks for a line of text that is not shown, and leaves nothing of it on the screen.
func (s *Streams) AskSecret(ctx context.Context, question string) (string, error) {
	if !s.InTerminal || !s.ErrTerminal {
		return "", &NotTerminalError{Question: question}
	}
	file, ok := s.In.(*os.File)
	if !ok {
		return "", &NotTerminalError{Question: question}
	}
	state, err := term.GetState(file.Fd())
	if err != nil {
		return "", fmt.Errorf("ask %q: terminal: %w", question, err)
	}
	type answer struct {
		line []byte
		err  error
	}
	s.say(printable(question) + ": ")
	got := make(chan answer, 1)
	go func() {
		line, err := term.ReadPassword(file.Fd())
		got <- answer{line, err}
	}()
	select {
	case a := <-got:
		s.say("\n")
		if a.err != nil {
			return "", fmt.Errorf("ask %q: %w", question, a.err)
		}
		return string(a.line), nil
	case <-ctx.Done():
		// the read stays behind until the program exits; the terminal must not stay without an echo
		err := term.Restore(file.Fd(), state)
		s.say("\n")
		return "", errors.Join(context.Cause(ctx), err)
	}
}

// Choose asks for one of options, of which there is at least one. preset, when it is one of them, is the answer to a bare Enter.
func (s *Streams) Choose(ctx context.Context, question string, options []string, preset string) (string, error) {
	answer := preset
	field := huh.NewSelect[string]().Title(question).Options(huh.NewOptions(options...)...).Value(&answer)
	var prompt strings.Builder
	prompt.WriteString(question)
	for i, o := range options {
		fmt.Fprintf(&prompt, "\n  %d) %s", i+1, o)
	}
	fmt.Fprintf(&prompt, "\nnumber [%s]", preset)
	err := s.ask(ctx, question, field, prompt.String(), func(line string) error {
		var err error
		answer, err = pick(line, options, preset)
		return err
	})
	if err != nil {
		return "", err
	}
	s.record(question, answer)
	return answer, nil
}

// pick takes a number, the option itself, or nothing for the preset.
func pick(line string, options []string, preset string) (string, error) {
	if line == "" {
		line = preset
	}
	if n, err := strconv.Atoi(line); err == nil && n >= 1 && n <= len(options) {
		return options[n-1], nil
	}
	for _, o := range options {
		if o == line {
			return o, nil
		}
	}
	return "", fmt.Errorf("answer with a number from 1 to %d", len(options))
}

// ask shows field, or asks in plain lines where the cursor cannot be moved. huh's own accessible mode is not used for that: it (2.0)
// takes the end of input for the preset and cannot be interrupted.
func (s *Streams) ask(ctx context.Context, question string, field huh.Field, prompt string, take func(line string) error) error {
	if !s.InTerminal || !s.ErrTerminal {
		return &NotTerminalError{Question: question}
	}
	if s.Dumb {
		return s.askLines(ctx, question, prompt, take)
	}
	if err := s.show(ctx, field); err != nil {
		return fmt.Errorf("ask %q: %w", question, err)
	}
	return nil
}

// show runs field until it is answered. The end of the context is passed on as an ordinary quit: as a context of its own bubbletea
// (2.1) would return while its reader still waits for the terminal.
func (s *Streams) show(ctx context.Context, field huh.Field) error {
	form := huh.NewForm(huh.NewGroup(field)).WithTheme(huh.ThemeFunc(huh.ThemeBase16)).WithWidth(s.columns(s.Err))
	form.SubmitCmd, form.CancelCmd = tea.Quit, tea.Quit
	program := tea.NewProgram(formModel{form}, tea.WithInput(s.In), tea.WithOutput(s.Err), tea.WithoutSignalHandler())
	stop := context.AfterFunc(ctx, program.Quit)
	defer stop()
	_, err := program.Run()
	switch {
	case err != nil:
		return fmt.Errorf("terminal: %w", err)
	case form.State == huh.StateCompleted:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return context.Canceled
}

// formModel is a form as bubbletea wants it. Once answered it draws nothing.
type formModel struct{ *huh.Form }

func (m formModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	_, cmd := m.Form.Update(msg) // the form changes in place
	return m, cmd
}

func (m formModel) View() tea.View {
	if m.State != huh.StateNormal {
		return tea.NewView("")
	}
	return tea.NewView(m.Form.View())
}

// askLines repeats the prompt until take accepts the answer.
func (s *Streams) askLines(ctx context.Context, question, prompt string, take func(line string) error) error {
	for {
		s.say(printable(prompt) + ": ")
		line, err := readLine(ctx, s.In)
		if err != nil {
			s.say("\n")
			return fmt.Errorf("ask %q: %w", question, err)
		}
		if err := take(strings.TrimSpace(line)); err != nil {
			s.Note(err.Error())
			continue
		}
		return nil
	}
}

// readLine waits for a line or for the context's end. A read cannot be interrupted: it stays behind until the program exits.
func readLine(ctx context.Context, r io.Reader) (string, error) {
	type answer struct {
		line string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		line, err := readBytes(r)
		got <- answer{line, err}
	}()
	select {
	case a := <-got:
		return a.line, a.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// readBytes reads byte by byte, so that nothing of the next answer is swallowed. The end of input is no answer, even after text.
func readBytes(r io.Reader) (string, error) {
	var line []byte
	one := make([]byte, 1)
	for {
		_, err := io.ReadFull(r, one)
		switch {
		case errors.Is(err, io.EOF):
			return "", io.ErrUnexpectedEOF
		case err != nil:
			return "", fmt.Errorf("read the answer: %w", err)
		case one[0] == '\n':
			return string(line), nil
		}
		line = append(line, one[0])
	}
}

// record leaves question and answer on the screen, because huh erases its field.
func (s *Streams) record(question, answer string) {
	if !s.Dumb {
		s.Note(question + " " + answer)
	}
}
