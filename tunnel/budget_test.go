package tunnel

import "testing"

// Half of a Budget is for those that hold little.
func TestBudgetKeepsAHalfForThoseThatHoldLittle(t *testing.T) {
	b := NewBudget(1 << 20)
	take := func(what string, n, held int64, want bool) {
		t.Helper()
		if got := b.Take(n, held); got != want {
			t.Errorf("%s: took %d bytes: %v, want %v, with %d in use", what, n, got, want, b.Used())
		}
	}
	take("much at once", 1<<19, 0, true)
	take("more than the half", 64<<10, 1<<19, false)
	take("by somebody who holds a little", 1, 64<<10, false)
	if b.TakeSpare(1) {
		t.Error("a stranger got what is kept for others")
	}
	for i := range 8 {
		take("little", 64<<10, 0, true)
		if want := int64(1<<19 + (i+1)*64<<10); b.Used() != want {
			t.Fatalf("%d bytes are in use, want %d", b.Used(), want)
		}
	}
	take("when nothing is left", 1, 0, false)
	b.Give(1 << 20)
	if b.Used() != 0 {
		t.Errorf("%d bytes are in use at the end", b.Used())
	}
	var none *Budget
	none.Give(5)
	if !none.Take(1<<40, 1<<40) || !none.TakeSpare(1<<40) || none.Used() != 0 {
		t.Error("no Budget has an end")
	}
}
