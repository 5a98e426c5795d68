/** Field → text of one type; the text under '' is of the type itself. */
export type FieldDescriptions = Readonly<Record<string, string>>;

/** Type name without its package → what is said about it and its own fields (not those of embedded structs). */
export type TypeDescriptions = Readonly<Record<string, FieldDescriptions>>;
