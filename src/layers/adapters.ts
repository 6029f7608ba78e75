// Which LoRAs a model wears. In: files, names and scales. Out: weights on the GPU that are a pure function of the checkpoint, the
// LoRAs and their scales: a change reads the weights that it affects again, so that nothing drifts however often one changes.

import { UsageError } from "../errors.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { type LoraFile, readLora } from "../io/lora_file.ts";
import type { WeightSource } from "../io/weights.ts";
import { applyLoras, type LoraStep } from "./lora.ts";
import type { LoadOptions, Matrix, ParameterSet, WeightEdits } from "./parameters.ts";

/** How a LoRA is loaded. */
export interface LoadLoraOptions extends LoadOptions {
  /** What it is called from then on; `default_0` and so on when not given. */
  adapterName?: string;
  /** With false it is only loaded, and the active ones stay; it costs nothing until `setAdapters` activates it. */
  activate?: boolean;
}

/** A LoRA of a model. */
export interface AdapterInfo {
  name: string;
  /** The file that it came from. */
  source: string;
  scale: number;
  /** `active` and `fused` ones are in the weights; a fused one stays there when it is unloaded. */
  status: "active" | "inactive" | "fused";
  /** Whether it also sets the lengths of the weights' rows. */
  isDora: boolean;
  /** How many weights it changes. */
  modules: number;
  /** Names of its tensors that are for a text encoder and were left aside. */
  ignored: readonly string[];
}

interface Adapter {
  id: number;
  name: string;
  file: LoraFile;
  /** The last that was set. */
  scale: number;
}

/** An adapter in the weights. */
interface Worn {
  adapter: Adapter;
  scale: number;
}

interface State {
  loaded: readonly Adapter[];
  /** In the order in which they apply. */
  active: readonly Worn[];
  /** Groups that were made part of the weights, each on top of those before. */
  fused: readonly (readonly Worn[])[];
}

const nameOf = (weight: string) => weight.replace(/\.weight$/, "");

/** The LoRAs of one model. */
export class AdapterSet {
  #state: State = { loaded: [], active: [], fused: [] };
  /** What each matrix has in it; nothing for those as the checkpoint has them, `stale` for those whose contents are not known. */
  #inside = new Map<Matrix, string>();
  #nextId = 0;

  /** @param reopen Opens the checkpoint that the parameters were loaded from. */
  constructor(
    private readonly parameters: ParameterSet,
    private readonly reopen: (() => Promise<WeightSource>) | undefined,
  ) {}

  /** All that are loaded, and those that are fused. */
  get list(): readonly AdapterInfo[] {
    const { loaded, active, fused } = this.#state;
    const worn = fused.flat();
    const info = (adapter: Adapter, scale: number, status: AdapterInfo["status"]): AdapterInfo => {
      const { name, updates, ignored } = adapter.file;
      const isDora = [...updates.values()].some(({ magnitude }) => magnitude !== undefined);
      return { name: adapter.name, source: name, scale, status, isDora, modules: updates.size, ignored };
    };
    return [
      ...worn.map(({ adapter, scale }) => info(adapter, scale, "fused")),
      ...active.map(({ adapter, scale }) => info(adapter, scale, "active")),
      ...loaded.filter((adapter) => ![...worn, ...active].some((one) => one.adapter === adapter))
        .map((adapter) => info(adapter, adapter.scale, "inactive")),
    ];
  }

  /** Reads a LoRA and, unless told otherwise, makes it the active one at scale 1. */
  load(from: string | URL, { adapterName, activate = true, ...load }: LoadLoraOptions = {}): Promise<string> {
    return this.parameters.inTurn(async () => {
      const { loaded } = this.#state;
      let free = loaded.length;
      while (this.#find(`default_${free}`)) free++;
      const name = adapterName ?? `default_${free}`;
      if (this.#find(name)) throw new UsageError(`Cannot load ${from} as "${name}" as names must differ: it is taken`);
      const modules = this.parameters.matrices.flatMap(({ names, spec }) =>
        names.map((weight) => ({ name: nameOf(weight), shape: spec.shape }))
      );
      const adapter = { id: this.#nextId++, name, file: await readLora(from, modules, load), scale: 1 };
      const active = activate ? [{ adapter, scale: 1 }] : this.#state.active;
      await this.#become({ ...this.#state, loaded: [...loaded, adapter], active }, load);
      return name;
    });
  }

  /** Makes these the active ones. */
  set(names: string | readonly string[], scales: number | readonly number[] = 1, load?: LoadOptions): Promise<void> {
    return this.parameters.inTurn(async () => {
      const list = typeof names === "string" ? [names] : names;
      const values = typeof scales === "number" ? list.map(() => scales) : scales;
      const cannot = `Cannot set adapters ${list.join(", ")}`;
      if (values.length !== list.length) {
        throw new UsageError(`${cannot} as each must have a scale: ${list.length} and ${values.length}`);
      }
      const wrong = values.find((scale) => !Number.isFinite(scale));
      if (wrong !== undefined) throw new UsageError(`${cannot} as scales must be finite numbers: ${wrong}`);
      if (new Set(list).size !== list.length) {
        throw new UsageError(`${cannot} as each can be set once: one is repeated`);
      }
      const active = list.map((name, i) => ({ adapter: this.#get(name, cannot), scale: values[i] }));
      await this.#become({ ...this.#state, active }, load);
      for (const { adapter, scale } of active) adapter.scale = scale;
    });
  }

  /** Makes the active ones, or those named, part of the weights. */
  fuse({ loraScale = 1, adapterNames }: { loraScale?: number; adapterNames?: readonly string[] } = {}): Promise<void> {
    return this.parameters.inTurn(async () => {
      const { active, fused } = this.#state;
      if (!Number.isFinite(loraScale)) {
        throw new UsageError(`Cannot fuse adapters as their scale must be a finite number: ${loraScale}`);
      }
      const chosen = adapterNames?.map((name) => this.#get(name, `Cannot fuse ${name}`)) ??
        active.map(({ adapter }) => adapter);
      if (chosen.length === 0) throw new UsageError("Cannot fuse adapters as at least one must be active: none is");
      const group = chosen.map((adapter) => ({ adapter, scale: adapter.scale * loraScale }));
      const rest = active.filter(({ adapter }) => !chosen.includes(adapter));
      await this.#become({ ...this.#state, fused: [...fused, group], active: rest });
    });
  }

  /** Takes the fused ones out of the weights; those still loaded become active. */
  unfuse(): Promise<void> {
    return this.parameters.inTurn(async () => {
      const { loaded, active, fused } = this.#state;
      const freed = fused.flat().map(({ adapter }) => adapter).filter((adapter) => loaded.includes(adapter));
      const again = freed.map((adapter) => ({ adapter, scale: adapter.scale }));
      await this.#become({ loaded, fused: [], active: [...again, ...active] });
    });
  }

  /** Forgets one, or all; fused ones stay in the weights. */
  unload(name?: string): Promise<void> {
    return this.parameters.inTurn(async () => {
      const { loaded, active } = this.#state;
      const gone = name === undefined ? loaded : loaded.filter((adapter) => adapter.name === name);
      if (name !== undefined && gone.length === 0) this.#get(name, `Cannot unload ${name}`);
      await this.#become({
        ...this.#state,
        loaded: loaded.filter((adapter) => !gone.includes(adapter)),
        active: active.filter(({ adapter }) => !gone.includes(adapter)),
      });
    });
  }

  #find(name: string): Adapter | undefined {
    return this.#state.loaded.find((adapter) => adapter.name === name);
  }

  /** A loaded adapter that is not fused. */
  #get(name: string, cannot: string): Adapter {
    const adapter = this.#find(name);
    if (!adapter) {
      const names = this.#state.loaded.map((one) => one.name).join(", ") || "none";
      throw new UsageError(`${cannot} as "${name}" must be loaded: loaded are ${names}`);
    }
    if (this.#state.fused.flat().some((worn) => worn.adapter === adapter)) {
      throw new UsageError(`${cannot} as "${name}" is in the weights already: it is fused; unfuse first`);
    }
    return adapter;
  }

  /** Loads all weights with what the model wears in them; to be called in turn. */
  async loadParameters(
    source: WeightSource,
    options: LoadOptions & { optional?: readonly string[] },
  ): Promise<void> {
    const { marks, edits } = this.#outcome(this.#state);
    await this.parameters.load(source, { ...options, edits });
    this.#inside = marks;
  }

  /** Frees all weights. */
  disposeParameters(): void {
    this.parameters.dispose();
    this.#inside.clear();
  }

  /** Brings the weights to a state; when that fails, back to the one before. */
  async #become(state: State, load: LoadOptions = {}): Promise<void> {
    const before = this.#state;
    try {
      await this.#write(state, load);
      this.#state = state;
    } catch (error) {
      await this.#write(before, {}).catch(() => this.#discardStale());
      throw error;
    }
  }

  /** Reads again all matrices whose contents a state changes; a model that is not loaded gets them when it is. */
  async #write(state: State, load: LoadOptions): Promise<void> {
    const isBroken = [...this.#inside.values()].includes("stale");
    if (!this.parameters.isLoaded && !isBroken) return;
    const { marks, edits } = this.#outcome(state);
    const wanted = this.parameters.matrices.filter((matrix) => marks.get(matrix) !== this.#inside.get(matrix));
    if (wanted.length === 0) return;
    if (!this.reopen) {
      throw new UsageError(
        `Cannot change the weights of ${this.parameters.model} as its checkpoint must be readable again: ` +
          "it was made from weights without `reopen`",
      );
    }
    using source = await this.reopen();
    for (const matrix of wanted) this.#inside.set(matrix, "stale");
    await this.parameters.reload(source, wanted, edits, load);
    this.#inside = marks;
  }

  /** What a state makes of the weights: what is done to each, and what each matrix then has in it. */
  #outcome(state: State): { edits: WeightEdits; marks: Map<Matrix, string> } {
    const plans = new Map<string, LoraStep[][]>();
    const marks = new Map<Matrix, string>();
    for (const matrix of this.parameters.matrices) {
      const parts = matrix.names.map((weight) => {
        const { groups, mark } = planOf(state, nameOf(weight));
        if (groups.length > 0) plans.set(weight, groups);
        return mark;
      });
      if (matrix.names.some((weight) => plans.has(weight))) marks.set(matrix, parts.join("|"));
    }
    const edits: WeightEdits = {
      has: (weight) => plans.has(weight),
      apply(rec: Recorder, weight: string, rows: Tensor, first: number, keep: (tensor: Tensor) => Tensor) {
        for (const steps of plans.get(weight)!) applyLoras(rec, rows, steps, first, keep);
      },
    };
    return { edits, marks };
  }

  // Weights that are neither the one state nor the other must not be used: without them, the model says that it is not loaded.
  #discardStale(): void {
    for (const [matrix, mark] of this.#inside) if (mark === "stale") matrix.dispose();
  }
}

/** What a state does to one module: groups of steps, and a text that is the same for the same steps only. */
function planOf({ fused, active }: State, module: string): { groups: LoraStep[][]; mark: string } {
  const groups: LoraStep[][] = [], marks: string[] = [];
  for (const group of [...fused, active]) {
    const steps: LoraStep[] = [], ids: string[] = [];
    for (const { adapter, scale } of group) {
      const update = adapter.file.updates.get(module);
      if (!update || (scale === 0 && !update.magnitude)) continue;
      steps.push({ update, scale });
      ids.push(`${adapter.id}*${scale}`);
    }
    if (steps.length === 0) continue;
    groups.push(steps);
    marks.push(ids.join("+"));
  }
  return { groups, mark: marks.join(";") };
}
