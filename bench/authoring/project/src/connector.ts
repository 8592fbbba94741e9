import { defineConnector, s } from "@cofferdam/connector";
import { greet } from "./greet.js";
import { map, type Vendors } from "./map.js";

export default defineConnector({ name: "bench", version: "1.0.0", title: "Bench" })
  .action("hello", {
    title: "Greet",
    input: { name: s.string() },
    output: { text: s.string() },
    run: (_ctx, input) => ({ text: greet(input.name) }),
  })
  .action("map", {
    title: "Map records",
    input: {
      records: s.array(
        s.object({
          id: s.int(), first_name: s.string(), last_name: s.string(), email: s.string(), amount: s.string(), created: s.string(),
          tags: s.array(s.string()),
        }),
      ),
    },
    run: (_ctx, input) => map(input.records as readonly Vendors[]),
  });
