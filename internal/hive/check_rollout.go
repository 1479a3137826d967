package hive

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// What `hive deploy` takes where a host says nothing, in seconds.
const (
	UsualActivation = 600
	UsualConfirm    = 120
	UsualReboot     = 600
)

// rolloutAfter refuses an order after hosts or tags that do not exist: a typing error there would let a host go first.
func rolloutAfter(s scope, h Host) []Problem {
	const option = "hive.deployment.after"
	var found []Problem
	for _, word := range h.Deployment.Rollout.After {
		if word == h.Name {
			found = append(found, one(Error, option, "the host comes after itself", "take "+strconv.Quote(word)+" out")...)
			continue
		}
		if slices.ContainsFunc(s.hive.Hosts, func(other Host) bool { return isMeant(word, other) }) {
			continue
		}
		what := "host is called"
		if strings.HasPrefix(word, "@") {
			what = "host has the tag"
		}
		way := "take it out"
		if near := Nearest(word, vocabulary(s.hive, word)); near != "" {
			way = fmt.Sprintf("did you mean %q?", near)
		}
		found = append(found, one(Error, option, fmt.Sprintf("no %s %s", what, strings.TrimPrefix(word, "@")), way)...)
	}
	return found
}

// rolloutCircle refuses hosts that wait for each other, and names all of them.
func rolloutCircle(s scope) []Problem {
	circle := Circle(Predecessors(s.hive.Hosts))
	if circle == nil {
		return nil
	}
	return []Problem{{
		Host: circle[0], Severity: Error, Option: "hive.deployment.after",
		Message: fmt.Sprintf("hosts wait for each other: %s; none of them can be deployed", strings.Join(circle, " after ")),
		Way:     "take one of them out of hive.deployment.after",
	}}
}

// rolloutGroup warns of a group whose hosts give different numbers, and of one whose number is no limit.
func rolloutGroup(s scope) []Problem {
	order, members := groups(s.hive.Hosts, func(h Host) []string { return []string{h.Deployment.Rollout.Group} })
	places := Places(s.hive.Hosts)
	const option = "hive.deployment.maxUnavailable"
	var found []Problem
	for _, group := range order {
		hosts := members[group]
		odd := slices.IndexFunc(hosts, func(h Host) bool { return max(1, h.Deployment.Rollout.MaxUnavailable) != places[group] })
		switch {
		case odd >= 0:
			found = append(found, Problem{
				Host: hosts[odd].Name, Severity: Warning, Option: option,
				Message: fmt.Sprintf("is %d, but the group %s goes by the smallest number of its hosts, %d", hosts[odd].Deployment.Rollout.MaxUnavailable, group, places[group]),
				Way:     fmt.Sprintf("set hive.deployment.maxUnavailable = %d; or give all hosts of the group the same number", places[group]),
			})
		case places[group] >= len(hosts):
			found = append(found, Problem{
				Host: hosts[0].Name, Severity: Warning, Option: option,
				Message: fmt.Sprintf("all %d hosts of the group %s may be changed at once: the group has no effect", len(hosts), group),
				Way:     fmt.Sprintf("set hive.deployment.maxUnavailable = %d;", len(hosts)-1),
			})
		}
	}
	return found
}

// rolloutAlone warns of a number of hosts at once without a group that it could be about.
func rolloutAlone(_ scope, h Host) []Problem {
	r := h.Deployment.Rollout
	if r.Group != "" || r.MaxUnavailable <= 1 {
		return nil
	}
	return one(Warning, "hive.deployment.maxUnavailable", fmt.Sprintf("is %d, but the host belongs to no group", r.MaxUnavailable),
		`set hive.deployment.group = "NAME"; on all hosts that take turns`)
}

// healthCheck refuses checks that say nothing to do or two things, and addresses that cannot be fetched.
func healthCheck(_ scope, h Host) []Problem {
	var found []Problem
	for _, c := range h.Deployment.Rollout.Checks {
		option := fmt.Sprintf("hive.deployment.checks.%q", c.Name)
		switch {
		case len(c.Command) == 0 && c.URL == "":
			found = append(found, one(Error, option, "checks nothing", `set command = [ "systemctl" "is-active" "NAME" ]; or url = "http://…";`)...)
		case len(c.Command) > 0 && c.URL != "":
			found = append(found, one(Error, option, "has a command and a url: it is not clear which one counts", "make two checks of it")...)
		case len(c.Command) > 0 && c.Status != 0:
			found = append(found, one(Error, option+".status", "is expected of a command, which has none", "take it out, or set url")...)
		case c.URL != "" && c.Root:
			found = append(found, one(Warning, option+".root", "has no effect: the url is fetched from the deploying machine", "take it out")...)
		case c.URL != "":
			found = append(found, healthURL(option, c.URL)...)
		}
	}
	return found
}

func healthURL(option, address string) []Problem {
	u, err := url.Parse(address)
	if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
		return nil
	}
	return one(Error, option+".url", fmt.Sprintf("%q is no address that can be fetched", address), `set url = "https://HOST/…"; or http://`)
}

// healthPatience warns of a check that may take longer than the host waits to be confirmed: it would go back before the last attempt.
func healthPatience(_ scope, h Host) []Problem {
	r := h.Deployment.Rollout
	limit := r.ConfirmSeconds
	if limit == 0 {
		limit = UsualConfirm
	}
	for _, c := range r.Checks {
		needs := c.Longest()
		if needs <= limit {
			continue
		}
		return one(Warning, "hive.deployment.timeouts.confirm",
			fmt.Sprintf("is %d seconds, but the check %s may take %d: the host would go back before its last attempt", limit, c.Name, needs),
			fmt.Sprintf("set hive.deployment.timeouts.confirm = %d;", needs+30))
	}
	return nil
}

// Longest is how many seconds the check takes at most.
func (c HealthCheck) Longest() int {
	attempts, each := max(1, c.Attempts), c.TimeoutSeconds
	if c.Attempts == 0 {
		attempts = 3
	}
	if each == 0 {
		each = 10
	}
	return attempts*each + attempts - 1
}
