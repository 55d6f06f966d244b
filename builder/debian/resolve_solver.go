package debian

import (
	"context"
	"fmt"
	"slices"
)

// The solver is a small conflict-driven one (CDCL). A general SAT library
// would need every package that any alternative can reach as clauses up
// front, would not follow a preference order, and its proofs would not name
// packages; here clauses are made when a package is first chosen, decisions
// are the unmet dependencies in order, and a proof is a list of relations.

// literal is a package that is in the solution (even) or not (odd).
type literal int32

func lit(v int32, in bool) literal {
	if in {
		return literal(2 * v)
	}
	return literal(2*v + 1)
}

func (l literal) index() int32 { return int32(l) / 2 }
func (l literal) in() bool     { return l&1 == 0 }

type truth int8

const (
	unknown truth = iota
	isTrue
	isFalse
)

// root is the index of the request, as if it were a package that is chosen.
const root int32 = 0

// clause is a disjunction: at least one literal is true.
type clause struct {
	literals []literal // of a requirement: not from, then the candidates, best first
	from     int32     // package that has the relation
	why      string    // "depends on foo (>= 2)", "breaks bar", ...
	dep      *dependency
	parents  []*clause // of a learned clause: what it follows from
}

// candidates gives the literals of a requirement that can meet it.
func (c *clause) candidates() []literal { return c.literals[1:] }

// variable is a package and its state.
type variable struct {
	entry    *entry // nil for root
	value    truth
	level    int
	reason   *clause // nil: decided
	expanded bool
	requires []*clause
	occurs   [2][]*clause // clauses that hold it: as "in", as "not in"
}

type solver struct {
	universe *universe
	vars     []variable
	byEntry  map[*entry]int32
	roots    []*clause
	queue    []*clause // requirements, in the order in which they came up
	trail    []literal
	levels   []int // length of the trail at each decision
	head     int   // of the trail: what was propagated
	conflict *clause
}

func newSolver(u *universe) *solver {
	s := &solver{universe: u, byEntry: map[*entry]int32{}}
	s.vars = append(s.vars, variable{expanded: true})
	s.assign(lit(root, true), nil)
	s.head = 1
	return s
}

func (s *solver) variable(e *entry) int32 {
	if v, ok := s.byEntry[e]; ok {
		return v
	}
	v := int32(len(s.vars))
	s.vars = append(s.vars, variable{entry: e})
	s.byEntry[e] = v
	return v
}

func (s *solver) value(l literal) truth {
	v := s.vars[l.index()].value
	if v == unknown || l.in() {
		return v
	}
	if v == isTrue {
		return isFalse
	}
	return isTrue
}

// require adds: if from is in, one of the candidates is.
func (s *solver) require(from int32, d dependency, why string) {
	list, met := s.universe.candidates(d)
	if met {
		return
	}
	c := &clause{from: from, why: why, dep: &d, literals: []literal{lit(from, false)}}
	for _, e := range list {
		if e == s.vars[from].entry {
			return // it satisfies its own dependency
		}
		c.literals = append(c.literals, lit(s.variable(e), true))
	}
	if from == root {
		s.roots = append(s.roots, c)
	}
	s.vars[from].requires = append(s.vars[from].requires, c)
	s.queue = append(s.queue, c)
	s.add(c)
}

// exclude adds: not both.
func (s *solver) exclude(from int32, other *entry, why string) {
	s.add(&clause{from: from, why: why, literals: []literal{lit(from, false), lit(s.variable(other), false)}})
}

// add watches a clause and draws the conclusion from it.
func (s *solver) add(c *clause) {
	for _, l := range c.literals {
		side := 0
		if !l.in() {
			side = 1
		}
		v := &s.vars[l.index()]
		v.occurs[side] = append(v.occurs[side], c)
	}
	s.check(c)
}

// check finds a conflict, or assigns the only literal that is left.
func (s *solver) check(c *clause) {
	if s.conflict != nil {
		return
	}
	left, open := literal(0), 0
	for _, l := range c.literals {
		switch s.value(l) {
		case isTrue:
			return
		case unknown:
			left = l
			if open++; open > 1 {
				return
			}
		}
	}
	if open == 0 {
		s.conflict = c
		return
	}
	s.assign(left, c)
}

func (s *solver) assign(l literal, reason *clause) {
	v := &s.vars[l.index()]
	v.value = isFalse
	if l.in() {
		v.value = isTrue
	}
	v.level, v.reason = len(s.levels), reason
	s.trail = append(s.trail, l)
}

// propagate draws conclusions until there are no more, or a conflict.
func (s *solver) propagate() error {
	for s.head < len(s.trail) && s.conflict == nil {
		l := s.trail[s.head]
		s.head++
		v := l.index()
		side := 0
		if l.in() {
			side = 1 // clauses in which "not in" just became false
		}
		for _, c := range s.vars[v].occurs[side] {
			s.check(c)
		}
		if l.in() && s.conflict == nil && !s.vars[v].expanded {
			if err := s.expand(v); err != nil {
				return err
			}
		}
	}
	return nil
}

// expand adds the clauses of a package that is chosen for the first time.
func (s *solver) expand(v int32) error {
	s.vars[v].expanded = true
	e := s.vars[v].entry
	for _, other := range s.universe.index.named(e.name) {
		if other != e {
			s.exclude(v, other, "excludes another version of "+e.name)
		}
	}
	clashes, err := s.universe.clashes(e)
	if err != nil {
		return err
	}
	for _, c := range clashes {
		s.exclude(v, c.entry, c.why)
	}
	needs, err := s.universe.depends(e)
	if err != nil {
		return err
	}
	for _, d := range needs {
		s.require(v, d, "depends on "+d.text)
	}
	return nil
}

// solve gives nil if there is a solution, which value then tells, or the
// clauses that together rule one out.
func (s *solver) solve(ctx context.Context) ([]*clause, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("looking for a solution: %w", err)
		}
		if err := s.propagate(); err != nil {
			return nil, err
		}
		if s.conflict != nil {
			if len(s.levels) == 0 {
				return s.proof(s.conflict), nil
			}
			s.learn()
			continue
		}
		next, ok := s.decide()
		if !ok {
			return nil, nil
		}
		s.levels = append(s.levels, len(s.trail))
		s.assign(next, nil)
	}
}

// decide gives the best candidate of the first unmet dependency. Those with a
// choice only of version go first: what they bring may meet the others.
func (s *solver) decide() (literal, bool) {
	var later *literal
	for _, c := range s.queue {
		if s.vars[c.from].value != isTrue {
			continue
		}
		best, names, met := s.open(c)
		if met {
			continue
		}
		if names == 1 {
			return best, true
		}
		if later == nil {
			later = &best
		}
	}
	if later == nil {
		return 0, false
	}
	return *later, true
}

// open gives the best candidate of a requirement that is not ruled out, and
// how many different package names (1 or more than 1) are to choose from.
func (s *solver) open(c *clause) (best literal, names int, met bool) {
	first := ""
	for _, l := range c.candidates() {
		switch s.value(l) {
		case isTrue:
			return 0, 0, true
		case unknown:
			name := s.vars[l.index()].entry.name
			if names == 0 {
				best, first, names = l, name, 1
			} else if name != first {
				names = 2
			}
		}
	}
	return best, names, false
}

// learn turns a conflict into a clause that rules it out (first unique
// implication point) and goes back to where that clause has one literal left.
func (s *solver) learn() {
	level := len(s.levels)
	learned := &clause{from: -1, parents: []*clause{s.conflict}}
	seen := map[int32]bool{}
	open, at, back := 0, len(s.trail)-1, 0
	for c := s.conflict; ; {
		for _, l := range c.literals {
			v := &s.vars[l.index()]
			if seen[l.index()] || s.value(l) != isFalse {
				continue
			}
			seen[l.index()] = true
			switch {
			case v.level == level:
				open++
			case v.level > 0:
				learned.literals = append(learned.literals, l)
				back = max(back, v.level)
			case v.reason != nil:
				learned.parents = append(learned.parents, v.reason)
			}
		}
		for !seen[s.trail[at].index()] {
			at--
		}
		pivot := s.trail[at]
		at--
		if open--; open == 0 {
			learned.literals = slices.Insert(learned.literals, 0, pivot^1)
			break
		}
		c = s.vars[pivot.index()].reason
		learned.parents = append(learned.parents, c)
	}
	s.undo(back)
	s.conflict = nil
	s.add(learned)
}

// undo takes back the decisions above a level.
func (s *solver) undo(level int) {
	keep := s.levels[level]
	for _, l := range s.trail[keep:] {
		v := &s.vars[l.index()]
		v.value, v.reason = unknown, nil
	}
	s.trail, s.levels, s.head = s.trail[:keep], s.levels[:level], keep
}

// proof gives the relations from which a conflict without any decision follows,
// in the order in which they are met.
func (s *solver) proof(conflict *clause) []*clause {
	var out []*clause
	seen := map[*clause]bool{}
	work := []*clause{conflict}
	for len(work) > 0 {
		c := work[0]
		work = work[1:]
		if c == nil || seen[c] {
			continue
		}
		seen[c] = true
		if c.from >= 0 {
			out = append(out, c)
		}
		work = append(work, c.parents...)
		for _, l := range c.literals {
			if v := &s.vars[l.index()]; v.level == 0 && v.value != unknown {
				work = append(work, v.reason)
			}
		}
	}
	return out
}
