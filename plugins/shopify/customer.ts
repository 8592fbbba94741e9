import { s } from "@cofferdam/connector";

/** A customer, as far as it is told. */
export const customer = {
  id: s.string(),
  firstName: s.string().nullable(),
  lastName: s.string().nullable(),
  email: s.string().nullable(),
  phone: s.string().nullable(),
  tags: s.array(s.string()),
  note: s.string().nullable(),
  orders: s.int().help("How many there were."),
  createdAt: s.string().format("date-time"),
};

/** https://shopify.dev/docs/api/admin-graphql/latest/objects/Customer, in part. */
export interface Customer {
  id: string;
  firstName: string | null;
  lastName: string | null;
  defaultEmailAddress: { emailAddress: string } | null;
  defaultPhoneNumber: { phoneNumber: string } | null;
  tags: string[];
  note: string | null;
  numberOfOrders: string;
  createdAt: string;
}

export const customerFields = `
  id firstName lastName tags note numberOfOrders createdAt
  defaultEmailAddress { emailAddress } defaultPhoneNumber { phoneNumber }`;

export function readCustomer(c: Customer) {
  return {
    id: c.id,
    firstName: c.firstName,
    lastName: c.lastName,
    email: c.defaultEmailAddress?.emailAddress ?? null,
    phone: c.defaultPhoneNumber?.phoneNumber ?? null,
    tags: c.tags,
    note: c.note,
    orders: Number(c.numberOfOrders),
    createdAt: c.createdAt,
  };
}
