/** Elements of the page, and the fields of its options. */

/** Return the element of an id that the page has. */
export function element<T extends HTMLElement>(id: string): T {
    return document.getElementById(id) as T;
}

/** Return a new element. */
export function created<K extends keyof HTMLElementTagNameMap>(
    tag: K,
    properties: Partial<HTMLElementTagNameMap[K]> = {},
    ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
}

function labelled(id: string, label: string, input: HTMLElement, ...beside: Node[]): HTMLElement {
    Object.assign(input, { id, name: id });
    return created("div", { className: "field" }, created("label", { htmlFor: id }, label), ...beside, input);
}

/** Return a field for a text in the model's script. */
export function textField(id: string, label: string, dir: string): HTMLElement {
    return labelled(
        id,
        label,
        created("input", { dir, autocomplete: "off", autocapitalize: "off", spellcheck: false }),
    );
}

/** Return a field for a whole number. */
export function numberField(id: string, label: string, most: number, value: number): HTMLElement {
    const properties = { type: "number", min: "1", max: String(most), defaultValue: String(value) };
    return labelled(id, label, created("input", properties));
}

/** Return a slider that shows its value, with words for its two ends. */
export function slider(
    id: string,
    label: string,
    range: { min: string; max: string; step: string; defaultValue: string },
    [low, high]: [string, string],
): HTMLElement {
    const shown = created("output", { id: `${id}-value`, htmlFor: id } as never);
    const field = labelled(id, label, created("input", { type: "range", ...range }), shown);
    field.append(created("div", { className: "hints" }, created("span", {}, low), created("span", {}, high)));
    return field;
}

/** Return a box to tick. */
export function checkBox(id: string, label: string, value: boolean): HTMLElement {
    const input = created("input", { type: "checkbox", defaultChecked: value, id, name: id });
    return created("div", { className: "field check" }, input, created("label", { htmlFor: id }, label));
}

/** Return a choice of a condition's values, or of any. */
export function choice(id: string, label: string, values: readonly string[]): HTMLElement {
    const options = ["", ...values].map((value) => created("option", { value }, value || "any"));
    return labelled(id, label, created("select", {}, ...options));
}
