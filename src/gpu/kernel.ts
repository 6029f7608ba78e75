// A kernel is a .wgsl file with its constants filled in, compiled once per device and set of constants, ahead of its first use or at
// it. In: WGSL text and constants. Out: a pipeline, its bind group layout, and how its Params are laid out.

import { DeviceError } from "../errors.ts";
import { SLOT_BYTES } from "./params.ts";

/** A constant put in front of a kernel: a whole number becomes `u32`, a boolean `bool`, a string the name of a type. */
export type Constants = Readonly<Record<string, number | boolean | string>>;

/** Whether two sets of constants make the same kernel. */
export function sameConstants(a: Constants, b: Constants): boolean {
  if (a === b) return true;
  let more = 0;
  for (const name in a) {
    if (a[name] !== b[name]) return false;
    more++;
  }
  for (const _name in b) more--;
  return more === 0;
}

/** Optional device features that WGSL must announce. */
export type ShaderFeature = "subgroups" | "shader-f16" | "chromium-experimental-subgroup-matrix";

/** A .wgsl file and what belongs to it. */
export interface KernelSource {
  /** The op's name, as it appears in errors and profiles. */
  name: string;
  /** The text of the file. */
  source: string;
  /** Texts of shared functions, appended behind. */
  shared?: readonly string[];
  /** Features that the kernel cannot do without. */
  features?: readonly ShaderFeature[];
}

type ParamType = "u32" | "i32" | "f32";

interface ParamField {
  name: string;
  type: ParamType;
}

/** Does work, and gives its result unless something failed. */
export type Attempt = <T>(work: () => Promise<T>) => Promise<T | undefined>;

/** Values for a kernel's `Params`, by field name. */
export type ParamValues = Readonly<Record<string, number>>;

// `@binding(2) var<storage, read_write> y: ...` tells all that a bind group layout needs to know.
const BINDING = /@binding\((\d+)\)\s*var<\s*(storage|uniform)\s*(?:,\s*(read|read_write)\s*)?>/g;
const PARAMS = /struct\s+Params\s*\{([^}]*)\}/;

function layoutEntries(code: string): GPUBindGroupLayoutEntry[] {
  const entries: GPUBindGroupLayoutEntry[] = [];
  for (const [, index, space, access] of code.matchAll(BINDING)) {
    const type = space === "uniform" ? "uniform" : access === "read_write" ? "storage" : "read-only-storage";
    entries.push({
      binding: Number(index),
      visibility: 4, // compute
      buffer: { type, hasDynamicOffset: type === "uniform" },
    });
  }
  return entries.sort((a, b) => a.binding - b.binding);
}

function paramFields(name: string, code: string): ParamField[] {
  const body = code.match(PARAMS)?.[1].replace(/\/\/.*$/gm, "") ?? "";
  const fields = body.split(",").map((field) => field.trim()).filter((field) => field !== "").map(
    (field): ParamField => {
      const [key, type] = field.split(":").map((part) => part.trim());
      if (type !== "u32" && type !== "i32" && type !== "f32") {
        throw new DeviceError(`Cannot lay out Params of ${name} as fields must be u32, i32 or f32: ${field}`);
      }
      return { name: key, type };
    },
  );
  if (fields.length * 4 > SLOT_BYTES) {
    throw new DeviceError(
      `Cannot lay out Params of ${name} as they take ${SLOT_BYTES} bytes at most: ${fields.length * 4}`,
    );
  }
  return fields;
}

/** The one line put in front of a kernel; no newline, so that the compiler's line numbers stay those of the file. */
export function headerLine(enables: readonly string[], constants: Constants): string {
  const parts = enables.map((line) => line);
  for (const [name, value] of Object.entries(constants)) {
    if (typeof value === "string") parts.push(`alias ${name} = ${value};`);
    else if (typeof value === "boolean") parts.push(`const ${name} = ${value};`);
    else if (Number.isInteger(value) && value >= 0) parts.push(`const ${name} = ${value}u;`);
    else throw new DeviceError(`Cannot set constant ${name} as numbers in front of a kernel are u32: ${value}`);
  }
  return parts.length > 0 ? parts.join(" ") + " " : "";
}

/** A kernel of a device. */
export class Kernel {
  readonly fields: readonly ParamField[];
  readonly layout: GPUBindGroupLayout;
  /** How many buffers it binds, Params not counted. */
  readonly bindingCount: number;
  readonly hasParams: boolean;
  readonly #words: Int32Array<ArrayBuffer>;
  readonly #floats: Float32Array<ArrayBuffer>;
  #pipeline: GPUComputePipeline | undefined;

  constructor(
    private readonly device: GPUDevice,
    readonly id: number,
    readonly name: string,
    private readonly code: string,
  ) {
    this.fields = paramFields(name, code);
    const entries = layoutEntries(code);
    this.hasParams = entries.some((entry) => entry.buffer?.type === "uniform");
    this.bindingCount = entries.length - (this.hasParams ? 1 : 0);
    this.#words = new Int32Array(this.fields.length);
    this.#floats = new Float32Array(this.#words.buffer);
    this.layout = device.createBindGroupLayout({ label: name, entries });
  }

  /** Whether nothing has to be compiled for a dispatch. */
  get isCompiled(): boolean {
    return this.#pipeline !== undefined;
  }

  /** The compiled kernel; it is compiled here and now where it is not yet. */
  get pipeline(): GPUComputePipeline {
    return this.#pipeline ??= this.device.createComputePipeline(this.#description());
  }

  /**
   * Compiles it while other work goes on.
   *
   * @param attempt Does work whose errors are told to nobody: what cannot be compiled is compiled again at its first use, which says
   * why it cannot.
   */
  async compileAhead(attempt: Attempt): Promise<void> {
    const pipeline = await attempt(() => this.device.createComputePipelineAsync(this.#description()));
    this.#pipeline ??= pipeline;
  }

  #description(): GPUComputePipelineDescriptor {
    const { device, name, code, layout } = this;
    return {
      label: name,
      layout: device.createPipelineLayout({ label: name, bindGroupLayouts: [layout] }),
      compute: { module: device.createShaderModule({ label: name, code }), entryPoint: "main" },
    };
  }

  /**
   * Lays out parameter values as the WGSL struct has them.
   *
   * @returns The words, until the next call.
   * @throws {DeviceError} when a field is missing, or one is given that the kernel does not have.
   */
  packParams(values: ParamValues): Int32Array<ArrayBuffer> {
    const { fields } = this;
    let given = 0;
    for (const _name in values) given++;
    if (given !== fields.length) {
      const names = fields.map((field) => field.name).join(", ");
      throw new DeviceError(
        `Cannot set Params of ${this.name} as its fields are ${names}: got ${Object.keys(values).join(", ")}`,
      );
    }
    for (let i = 0; i < fields.length; i++) {
      const { name, type } = fields[i];
      const value = values[name];
      if (value === undefined) {
        throw new DeviceError(`Cannot set Params of ${this.name} as ${name} is a field: missing`);
      }
      if (type === "f32") this.#floats[i] = value;
      else this.#words[i] = value; // a u32 keeps its bits
    }
    return this.#words;
  }
}
