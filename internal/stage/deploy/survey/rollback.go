package survey

import (
	"context"
	"fmt"
	"io"

	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/stage/deploy/state"
)

// Rollback takes Colmena's place in a deployment that goes back: nothing is built, and what hosts go to is on them already. All else,
// plan, order, guard, health checks and record, is as in every deployment.
type Rollback struct {
	Root func(ctx context.Context, name string) (run.Runner, error)
	To   string // as Named takes it; empty is the previous system
	// Generations is filled with the generation that each host goes to. A system that is no generation is not in it.
	Generations map[string]int
}

// Push chooses the system of each host, and says in failed where there is none to go to.
func (r Rollback) Push(ctx context.Context, names []string, out io.Writer) (paths, failed map[string]string, err error) {
	choices, errs := make([]Choice, len(names)), make([]error, len(names))
	each(len(names), 0, func(i int) { choices[i], errs[i] = r.choose(ctx, names[i]) })
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	paths, failed = map[string]string{}, map[string]string{}
	for i, name := range names {
		delete(r.Generations, name)
		if errs[i] != nil {
			failed[name] = errs[i].Error()
			continue
		}
		paths[name] = choices[i].Path
		if choices[i].Generation > 0 {
			r.Generations[name] = choices[i].Generation
		}
		if _, err := fmt.Fprintf(out, "%s | %s\n", name, choices[i]); err != nil {
			return nil, nil, fmt.Errorf("choose what to go back to: %w", err)
		}
	}
	return paths, failed, nil
}

// UploadKeys uploads none: they are the hive's, not of the system that a host goes back to.
func (r Rollback) UploadKeys(context.Context, []string, io.Writer) (map[string]string, error) {
	return map[string]string{}, nil
}

func (r Rollback) choose(ctx context.Context, name string) (Choice, error) {
	root, err := r.Root(ctx, name)
	if err != nil {
		return Choice{}, err
	}
	s, err := state.Read(ctx, root)
	if err != nil {
		return Choice{}, err
	}
	if r.To == "" {
		return Previous(s)
	}
	return Named(r.To, s, "")
}

// String is a choice for a person.
func (c Choice) String() string {
	if c.Generation == 0 {
		return c.Path
	}
	return fmt.Sprintf("generation %d (%s)", c.Generation, c.Path)
}
