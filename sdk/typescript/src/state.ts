import type { Infer, Shape } from "./schema.js";

/** A key as it is declared, where `*` stands for any text: `"issues/*"`. */
type Pattern<K> = K extends `${infer Before}*${infer After}` ? `${Before}${string}${After}` : K;

/** All keys of a declared state. */
export type StateKey<S extends Shape> = { [K in keyof S & string]: Pattern<K> }[keyof S & string];

/** What the state holds under a key. */
export type StateValue<S extends Shape, Key> = { [K in keyof S & string]: Key extends Pattern<K> ? Infer<S[K]> : never }[keyof S & string];

/** The keys that hold numbers. */
export type CounterKey<S extends Shape> = { [K in keyof S & string]: Infer<S[K]> extends number ? Pattern<K> : never }[keyof S & string];

export interface ListOptions {
  /** Goes on after this key. */
  after?: string | undefined;
  /** Left out, the host decides. */
  limit?: number | undefined;
}

export interface StatePage<V> {
  entries: { key: string; value: V }[];
  /** There are others. */
  more: boolean;
}

/**
 * What an installation remembers between calls: JSON documents by key. Writes are seen by the same call and committed
 * with its success, or not at all. When something that was read has changed meanwhile, the whole call is run again.
 */
export interface State<S extends Shape> {
  get<K extends StateKey<S>>(key: K): Promise<StateValue<S, K> | undefined>;
  set<K extends StateKey<S>>(key: K, value: StateValue<S, K>): Promise<void>;
  delete(key: StateKey<S>): Promise<void>;
  /** Stores `updated` if the value is `old`, and says whether it did. An `old` of undefined means that the key must be absent. */
  cas<K extends StateKey<S>>(key: K, old: StateValue<S, K> | undefined, updated: StateValue<S, K>): Promise<boolean>;
  /** Adds to an integer, which starts at 0, and gives the sum. It never conflicts with other executions; the sum may lag behind theirs. */
  add(key: CounterKey<S>, delta?: number): Promise<number>;
  /** The entries whose keys begin with `prefix`, in the order of keys. */
  list(prefix: string, options?: ListOptions): Promise<StatePage<StateValue<S, StateKey<S>>>>;
}

/** The state of a connector that does not declare its keys. */
export interface OpenState {
  get<T = unknown>(key: string): Promise<T | undefined>;
  set(key: string, value: unknown): Promise<void>;
  delete(key: string): Promise<void>;
  cas(key: string, old: unknown, updated: unknown): Promise<boolean>;
  add(key: string, delta?: number): Promise<number>;
  list<T = unknown>(prefix: string, options?: ListOptions): Promise<StatePage<T>>;
}

/** The state that a connector declares, or any. */
export type StateOf<S extends Shape> = string extends keyof S ? OpenState : [keyof S] extends [never] ? OpenState : State<S>;
