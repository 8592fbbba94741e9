package build_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime"
)

// TestWhatGoesWrongInACallIsExplained has actions that go wrong in ways that are easy to
// get into: each is an error of the connector's, with its line where there is one, and
// none harms the next call.
func TestWhatGoesWrongInACallIsExplained(t *testing.T) {
	t.Parallel()
	plugin := built(t, project(t, `
-- src/connector.ts --
import { defineConnector } from "@cofferdam/connector";

function deep(n: number): number {
  return 1 + deep(n + 1);
}

export default defineConnector({ name: "shop", version: "1.0.0" })
  .action("recursion", { run: () => deep(0) })
  .action("memory", {
    run() {
      const all: number[][] = [];
      for (;;) all.push(new Array(100_000).fill(1));
    },
  })
  .action("cyclic", {
    run() {
      const order: Record<string, unknown> = { id: 1 };
      order.self = order;
      return order;
    },
  })
  .action("string", { run() { throw "closed"; } })
  .action("pending", { run: () => new Promise<string>(() => {}) })
  .action("fine", { run: () => "fine" });
`), options(t))
	for _, c := range []struct {
		action string
		want   []string
	}{
		{"recursion", []string{"Maximum call stack size exceeded", "src/connector.ts:4:"}},
		{"memory", []string{"out of memory", "src/connector.ts:12:"}},
		{"cyclic", []string{"circular"}},
		{"string", []string{"closed"}},
		{"pending", []string{"deadlock: a promise never settles"}},
	} {
		_, err := call(t, plugin.Wasm, c.action, `{}`)
		failure, ok := errors.AsType[*runtime.Failure](err)
		if !ok {
			t.Errorf("%s: got %v, want a *Failure", c.action, err)
			continue
		}
		said := failure.Message + "\n" + string(failure.Details)
		for _, want := range c.want {
			if !strings.Contains(said, want) {
				t.Errorf("%s: got %s, want %q in it", c.action, said, want)
			}
		}
	}
	result, err := call(t, plugin.Wasm, "fine", `{}`)
	if got, want := string(result.Output), `"fine"`; err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

func TestAConnectorMayShadowGlobals(t *testing.T) {
	t.Parallel()
	plugin := built(t, project(t, `
-- src/connector.ts --
import { defineConnector, s } from "@cofferdam/connector";

const global = globalThis as any;
global.JSON = { parse: () => "no", stringify: () => "no" };
global.Promise = undefined;
global.fetch = "no";
global.TextEncoder = undefined;
Object.keys = () => ["no"];

export default defineConnector({ name: "shop", version: "1.0.0" })
  .action("greet", { input: { name: s.string() }, run: (_, { name }) => ({ greeting: "Hello, " + name }) });
`), options(t))
	result, err := call(t, plugin.Wasm, "greet", `{"name":"Ada"}`)
	if got, want := string(result.Output), `{"greeting":"Hello, Ada"}`; err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}
