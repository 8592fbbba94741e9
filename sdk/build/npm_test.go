package build_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/sdk/build"
)

// TestPackagesOfNPMWorkInTheSandbox has connectors that use packages which many use,
// each of which was difficult for some engine.
func TestPackagesOfNPMWorkInTheSandbox(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, source, input, want string }{
		{
			name: "zod",
			source: `
import { defineConnector } from "@cofferdam/connector";
import { z } from "zod";

const customer = z.object({ email: z.email(), age: z.number().int().positive().optional(), tags: z.array(z.string()).default([]) });

export default defineConnector({ name: "shop", version: "1.0.0" })
  .action("run", { run: (_, input) => {
    const bad = customer.safeParse({ email: "nobody", age: -1 });
    return { good: customer.parse({ email: "ada@example.com" }), bad: bad.error?.issues.map((i) => i.path.join(".")) };
  } });`,
			want: `{"good":{"email":"ada@example.com","tags":[]},"bad":["email","age"]}`,
		},
		{
			name: "zod/mini",
			source: `
import { defineConnector } from "@cofferdam/connector";
import * as z from "zod/mini";

const order = z.object({ id: z.string().check(z.minLength(3)), total: z.number() });

export default defineConnector({ name: "shop", version: "1.0.0" })
  .action("run", { run: () => ({ good: order.safeParse({ id: "1001", total: 5 }).success, bad: order.safeParse({ id: "1", total: 5 }).success }) });`,
			want: `{"good":true,"bad":false}`,
		},
		{
			name: "dayjs",
			source: `
import { defineConnector } from "@cofferdam/connector";
import dayjs from "dayjs";
import utc from "dayjs/plugin/utc";
import "dayjs/locale/de";

dayjs.extend(utc);

export default defineConnector({ name: "shop", version: "1.0.0" })
  .action("run", { run: () => {
    const day = dayjs.utc("2026-01-30T10:00:00Z").add(1, "month");
    return { day: day.format("YYYY-MM-DD"), german: day.locale("de").format("MMMM"), days: day.diff(dayjs.utc("2026-01-01"), "day") };
  } });`,
			want: `{"day":"2026-02-28","german":"Februar","days":58}`,
		},
		{
			name: "ajv",
			source: `
import { defineConnector } from "@cofferdam/connector";
import Ajv from "ajv";

const validate = new Ajv().compile({ type: "object", required: ["id"], properties: { id: { type: "integer" } } });

export default defineConnector({ name: "shop", version: "1.0.0" })
  .action("run", { run: () => ({ good: validate({ id: 1 }), bad: validate({ id: "1" }), errors: validate.errors?.map((e) => e.instancePath) }) });`,
			want: `{"good":true,"bad":false,"errors":["/id"]}`,
		},
		{
			name: "fast-xml-parser",
			source: `
import { defineConnector } from "@cofferdam/connector";
import { XMLBuilder, XMLParser } from "fast-xml-parser";

export default defineConnector({ name: "shop", version: "1.0.0" })
  .action("run", { run: () => {
    const parsed = new XMLParser({ ignoreAttributes: false }).parse('<order id="1001"><line sku="a">2</line><line sku="b">3</line><note>Größe &amp; Farbe</note></order>');
    return { parsed, built: new XMLBuilder().build({ order: { total: 5 } }) };
  } });`,
			want: `{"parsed":{"order":{"line":[{"#text":2,"@_sku":"a"},{"#text":3,"@_sku":"b"}],"note":"Größe & Farbe","@_id":"1001"}},"built":"<order><total>5</total></order>"}`,
		},
	} {
		t.Run(strings.ReplaceAll(c.name, "/", "-"), func(t *testing.T) {
			t.Parallel()
			plugin := built(t, project(t, "-- src/connector.ts --"+c.source+"\n"), options(t))
			result, err := call(t, plugin.Wasm, "run", `{}`)
			if err != nil {
				t.Fatalf("call: %v", err)
			}
			if diff := cmp.Diff(decoded(t, c.want), decoded(t, string(result.Output))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func decoded(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// locales is a package with a data file for each of many languages.
func locales(count, bytes int) string {
	var files, index strings.Builder
	for i := range count {
		fmt.Fprintf(&index, "export { default as l%d } from \"./locale/l%d.js\";\n", i, i)
		fmt.Fprintf(&files, "-- node_modules/calendar/locale/l%d.js --\nexport default %q;\n", i, strings.Repeat(string(rune('a'+i%26)), bytes))
	}
	return files.String() + "-- node_modules/calendar/package.json --\n{ \"name\": \"calendar\", \"version\": \"1.0.0\", \"main\": \"./index.js\" }\n" +
		"-- node_modules/calendar/index.js --\n" + index.String()
}

const allLocales = `
-- src/connector.ts --
import { defineConnector } from "@cofferdam/connector";
import * as calendar from "calendar";

export default defineConnector({ name: "shop", version: "1.0.0", description: String(Object.keys(calendar).length) });
`

func TestALargeBundleIsNamed(t *testing.T) {
	t.Parallel()
	plugin := built(t, project(t, allLocales+locales(60, 10_000)), options(t))
	if len(plugin.Warnings) != 1 {
		t.Fatalf("got the warnings %v, want one", plugin.Warnings)
	}
	got := plugin.Warnings[0].String()
	for _, want := range []string{"the bundle has 6", "above 500 KB", "calendar, of which 6", "in its locale", "your own files", "import single locales"} {
		if !strings.Contains(got, want) {
			t.Errorf("got the warning\n%s\nwant %q in it", got, want)
		}
	}
}

func TestWhatIsTooLargeIsRefusedWithSizes(t *testing.T) {
	t.Parallel()
	dir := project(t, allLocales+locales(60, 10_000))
	for _, c := range []struct {
		name   string
		limits runtime.Limits
		want   []string
	}{
		{"the bundle", runtime.Limits{InputBytes: 300_000}, []string{"the bundle has 6", "more than the limit of 300 KB", "calendar, of which"}},
		{"what was frozen", runtime.Limits{ModuleBytes: 1_300_000}, []string{"leaves in memory is too much", "the limit is 1300000", "calendar, of which"}},
		{"the module", runtime.Limits{ModuleBytes: 1_550_000}, []string{"more than the limit of 1550 KB", "of a bundle of 6", "calendar, of which"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := options(t)
			o.Limits = c.limits
			_, err := build.Project(t.Context(), dir, o)
			if err == nil {
				t.Fatal("it was built")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got\n%v\nwant %q in it", err, want)
				}
			}
		})
	}
}

func TestPackagesThatDoWithoutNodeInBrowsersAreTaken(t *testing.T) {
	t.Parallel()
	plugin := built(t, project(t, `
-- src/connector.ts --
import { defineConnector } from "@cofferdam/connector";
import events from "events";
import { where } from "portable";
import { without } from "careful";

export default defineConnector({ name: "shop", version: "1.0.0" }).action("run", { run: () => [events.polyfill, where, without] });
-- node_modules/events/package.json --
{ "name": "events", "main": "./events.js" }
-- node_modules/events/events.js --
module.exports = { polyfill: true };
-- node_modules/portable/package.json --
{ "name": "portable", "exports": { "node": "./node.js", "browser": "./browser.js" } }
-- node_modules/portable/node.js --
import fs from "node:fs";
export const where = fs;
-- node_modules/portable/browser.js --
export const where = "browser";
-- node_modules/careful/package.json --
{ "name": "careful", "main": "./main.js", "browser": { "fs": false } }
-- node_modules/careful/main.js --
const fs = require("fs");
exports.without = fs.readFileSync === undefined;
`), options(t))
	result, err := call(t, plugin.Wasm, "run", `{}`)
	if got, want := string(result.Output), `[true,"browser",true]`; err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}
