/** A record as a vendor has it. */
export interface Vendors {
  id: number;
  first_name: string;
  last_name: string;
  email: string;
  amount: string;
  created: string;
  tags: string[];
}

export function map(records: readonly Vendors[]) {
  let total = 0;
  const customers = records
    .filter((r) => r.email.includes("@"))
    .map((r) => {
      const cents = Math.round(parseFloat(r.amount) * 100);
      total += cents;
      return {
        externalId: `cust_${r.id}`,
        name: `${r.first_name} ${r.last_name}`.trim(),
        email: r.email.toLowerCase(),
        cents,
        year: Number(r.created.slice(0, 4)),
        slug: r.last_name.toLowerCase().replace(/[^a-z0-9]+/g, "-"),
        ...(r.tags.length > 0 ? { tags: [...r.tags, "synced"].join(",") } : {}),
      };
    });
  return { count: customers.length, total, customers };
}

/** What an engine without a sandbox is given: the whole of a call's input. */
export function whole(input: string): string {
  return JSON.stringify(map(JSON.parse(input).input.records));
}
