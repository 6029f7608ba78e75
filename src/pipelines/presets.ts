// The released PixArt models by short names. In: `sigma-1024`, `org/name`, a folder or a URL. Out: a folder or file to load.
// Some releases are a transformer only; they are put together with the rest of a pipeline that was released beside them.
import { DownloadError, UsageError } from "../errors.ts";
import { exists, folderOf, joinPath, readJson } from "../io/byte_source.ts";
import { type DownloadedModel, downloadModel, resolveModel, type ResolveOptions } from "../io/hub.ts";
import { COMPONENTS, INDEX } from "../io/hub_files.ts";
import { isRecord } from "../io/strict_json.ts";

/** A released model. */
export interface Preset {
  name: string;
  /** For the help. */
  about: string;
  /** Where it is on the hub. */
  id: string;
  /** What to take of it: a pipeline when left out. */
  files?: readonly string[];
  /** Where the components come from that it lacks, and the pipeline's class. */
  base?: { id: string; pipeline: string };
}

const SIGMA = { id: "PixArt-alpha/pixart_sigma_sdxlvae_T5_diffusers", pipeline: "PixArtSigmaPipeline" };
const ALPHA = { id: "PixArt-alpha/PixArt-XL-2-1024-MS", pipeline: "PixArtAlphaPipeline" };
const ALPHA_512 = { ...ALPHA, id: "PixArt-alpha/PixArt-XL-2-512x512" };

const org = (name: string) => `PixArt-alpha/${name}`;
const pth = (name: string, about: string, repository: string, file: string): Preset => {
  return { name, about, id: org(repository), files: [file] };
};

/** All of them. */
export const PRESETS: readonly Preset[] = [
  { name: "sigma-256", about: "Sigma, 256 pixels", id: org("PixArt-Sigma-XL-2-256x256"), base: SIGMA },
  { name: "sigma-512", about: "Sigma, 512 pixels", id: org("PixArt-Sigma-XL-2-512-MS"), base: SIGMA },
  { name: "sigma-1024", about: "Sigma, 1024 pixels", id: org("PixArt-Sigma-XL-2-1024-MS"), base: SIGMA },
  { name: "sigma-2k", about: "Sigma, 2048 pixels", id: org("PixArt-Sigma-XL-2-2K-MS"), base: SIGMA },
  {
    name: "sigma-900m",
    about: "Sigma with 42 blocks, by the community, 1024 pixels",
    id: "terminusresearch/pixart-900m-1024-v0.6",
    base: SIGMA,
  },
  { name: "sigma-t5-vae", about: "text encoder and VAE of Sigma, no transformer", id: SIGMA.id },
  { name: "alpha-256", about: "Alpha, 256 pixels", id: org("PixArt-XL-2-256x256"), base: ALPHA },
  {
    name: "alpha-256-sam",
    about: "Alpha after the SAM stage, 256 pixels",
    id: org("PixArt-XL-2-SAM-256x256"),
    base: ALPHA,
  },
  { name: "alpha-512", about: "Alpha, 512 pixels", id: ALPHA_512.id, base: ALPHA },
  { name: "alpha-1024", about: "Alpha, 1024 pixels", id: ALPHA.id },
  { name: "alpha-1024-lcm", about: "Alpha in 4 steps", id: org("PixArt-LCM-XL-2-1024-MS"), base: ALPHA },
  { name: "alpha-1024-lcm-lora", about: "Alpha in 4 steps, as a LoRA", id: org("PixArt-LCM-LoRA-XL-2-1024-MS") },
  { name: "alpha-512-dmd", about: "Alpha in one step", id: org("PixArt-Alpha-DMD-XL-2-512x512"), base: ALPHA_512 },
  pth("sigma-256-pth", "Sigma, 256 pixels, original file", "PixArt-Sigma", "PixArt-Sigma-XL-2-256x256.pth"),
  pth("sigma-512-pth", "Sigma, 512 pixels, original file", "PixArt-Sigma", "PixArt-Sigma-XL-2-512-MS.pth"),
  pth("sigma-1024-pth", "Sigma, 1024 pixels, original file", "PixArt-Sigma", "PixArt-Sigma-XL-2-1024-MS.pth"),
  pth("sigma-2k-pth", "Sigma, 2048 pixels, original file", "PixArt-Sigma", "PixArt-Sigma-XL-2-2K-MS.pth"),
  pth("alpha-256-pth", "Alpha, 256 pixels, original file", "PixArt-alpha", "PixArt-XL-2-256x256.pth"),
  pth("alpha-256-sam-pth", "Alpha after the SAM stage, original file", "PixArt-alpha", "PixArt-XL-2-SAM-256x256.pth"),
  pth(
    "alpha-256-coco-pth",
    "Alpha tuned on MS-COCO, original file",
    "PixArt-alpha",
    "PixArt-XL-2-256x256-MSCOCO-FID732.pth",
  ),
  pth("alpha-512-pth", "Alpha, 512 pixels, original file", "PixArt-alpha", "PixArt-XL-2-512x512.pth"),
  pth("alpha-1024-pth", "Alpha, 1024 pixels, original file", "PixArt-alpha", "PixArt-XL-2-1024-MS.pth"),
  pth(
    "alpha-512-controlnet",
    "ControlNet for 512 pixels, original file",
    "PixArt-ControlNet",
    "PixArt-XL-2-512-ControlNet.pth",
  ),
  pth(
    "alpha-1024-controlnet",
    "ControlNet for 1024 pixels, original file",
    "PixArt-ControlNet",
    "PixArt-XL-2-1024-ControlNet.pth",
  ),
  pth("alpha-controlnet-hed", "edge detector of the ControlNets, original file", "PixArt-alpha", "ControlNetHED.pth"),
  {
    name: "alpha-t5-vae",
    about: "text encoder and VAE beside Alpha's original files",
    id: org("PixArt-alpha"),
    files: ["t5-v1_1-xxl", "sd-vae-ft-ema"],
  },
];

// What people ask for because papers and tables name it.
const NEVER_RELEASED = ["sigma-4k"];

/** A model that was found, and what was downloaded for it. */
export interface FoundModel {
  /** The folder or file to load. */
  path: string;
  /** Where it came from: nothing for a folder that was there. */
  parts: DownloadedModel[];
}

/** What to take, and how; see {@linkcode ResolveOptions}. */
export type FindOptions = ResolveOptions;

/**
 * Finds the preset of a name, in any case of letters.
 *
 * @throws {UsageError} when the name is that of a model which was never released.
 */
export function findPreset(name: string): Preset | undefined {
  const wanted = name.toLowerCase();
  if (NEVER_RELEASED.includes(wanted)) {
    throw new UsageError(
      `Cannot download ${name} as a model must have been released: this one never was; try sigma-2k`,
    );
  }
  return PRESETS.find((preset) => preset.name === wanted);
}

/**
 * Finds a model by any of its names, and downloads it where it is not here: a path or URL is itself, then come presets, then
 * `org/name` on the hub.
 *
 * @returns The folder or file to load.
 * @throws {DownloadError} when it is not there, cannot be reached, or cannot be stored.
 * @throws {UsageError} when the revision or a file that was asked for cannot be.
 * @example
 * ```ts
 * import { findModel } from "./presets.ts";
 * console.assert(await findModel("tests/golden/vae") === "tests/golden/vae");
 * ```
 */
export async function findModel(name: string, options: FindOptions = {}): Promise<string> {
  const isHere = typeof globalThis.Deno !== "undefined" && !/^\w+:/.test(name) && await exists(name);
  const preset = isHere ? undefined : findPreset(name);
  if (!preset) return await resolveModel(name, options);
  if (typeof globalThis.Deno !== "undefined") return (await downloadPreset(preset, options)).path;
  const url = await resolveModel(preset.id, options);
  return preset.files?.length === 1 ? joinPath(url, preset.files[0]) : url;
}

/**
 * Downloads a preset.
 *
 * @throws {DownloadError} when it is not there, cannot be reached, or cannot be stored.
 */
export async function downloadPreset(preset: Preset, options: FindOptions = {}): Promise<FoundModel> {
  const { id, base } = preset;
  const files = options.files ?? preset.files;
  if (!base) {
    const model = await downloadModel(id, { ...options, files });
    const isOneFile = preset.files?.length === 1 && model.files.length === 1;
    return { path: isOneFile ? joinPath(model.folder, model.files[0].path) : model.folder, parts: [model] };
  }
  const model = await downloadModel(id, { ...options, files, partial: true });
  if (model.missing.length === 0) return { path: model.folder, parts: [model] };
  // A revision is of the one model, and means nothing to the other.
  const wanted = { revision: undefined, files: [INDEX, ...model.missing], partial: true };
  const rest = await downloadModel(base.id, { ...options, ...wanted });
  const lost = rest.missing.filter((name) => name !== INDEX);
  if (lost.length > 0) {
    throw new UsageError(
      `Cannot take ${lost.join(", ")} of ${preset.name} as ${id} or ${base.id} must have it: neither does`,
    );
  }
  if (model.files.length === 0) return { path: rest.folder, parts: [rest] };
  return { path: await putTogether(model, rest, base.pipeline), parts: [model, rest] };
}

/** A pipeline's folder whose components are links to those of two models. It lies beside the first one's snapshots. */
async function putTogether(model: DownloadedModel, rest: DownloadedModel, pipeline: string): Promise<string> {
  const place = joinPath(folderOf(folderOf(model.folder)), "pipelines", `${model.commit}-${rest.commit}`);
  const sources = COMPONENTS.map((name) => ({ name, source: [model, rest].find((part) => hasComponent(part, name)) }));
  const isDone = async () => {
    const needed = [INDEX, ...sources.filter(({ source }) => source).map(({ name }) => name)];
    return (await Promise.all(needed.map((name) => exists(joinPath(place, name))))).every((is) => is);
  };
  if (await isDone()) return place;
  const part = `${place}.${crypto.randomUUID().slice(0, 8)}.tmp`;
  try {
    const index = { ...await indexOf(rest, pipeline), ...await indexOf(model, pipeline) };
    await Deno.mkdir(part, { recursive: true });
    await Deno.writeTextFile(joinPath(part, INDEX), `${JSON.stringify(index, null, 2)}\n`);
    for (const { name, source } of sources) {
      if (source) await Deno.symlink(await linkTarget(source, name), joinPath(part, name), { type: "junction" });
    }
    // An earlier one may have been for fewer components.
    await Deno.remove(place, { recursive: true }).catch(() => {});
    await Deno.rename(part, place);
    return place;
  } catch (error) {
    await Deno.remove(part, { recursive: true }).catch(() => {});
    // Another process may have been a little faster.
    if (await isDone()) return place;
    throw new DownloadError(
      `Cannot put ${model.id} together with ${rest.id} as ${place} must take links: ${(error as Error).message}`,
      { cause: error },
    );
  }
}

/** Where a component's link leads: from one model's `pipelines` to any model's snapshot, so that the cache can be moved. */
async function linkTarget({ folder }: DownloadedModel, component: string): Promise<string> {
  // Windows lets anybody make junctions, which are absolute, and symbolic links only some.
  if (Deno.build.os === "windows") return await Deno.realPath(joinPath(folder, component));
  return joinPath("../../..", ...folder.split("/").slice(-3), component);
}

const CLASSES: Record<string, [string, string]> = {
  scheduler: ["diffusers", "DPMSolverMultistepScheduler"],
  tokenizer: ["transformers", "T5Tokenizer"],
  transformer: ["diffusers", "PixArtTransformer2DModel"],
  vae: ["diffusers", "AutoencoderKL"],
  text_encoder: ["transformers", "T5EncoderModel"],
};

const hasComponent = ({ files }: DownloadedModel, name: string) =>
  files.some(({ path }) => path.startsWith(`${name}/`));

/** What a model's index says of the components it has; the usual classes where it has none. */
async function indexOf(model: DownloadedModel, pipeline: string): Promise<Record<string, unknown>> {
  const hasIndex = model.files.some(({ path }) => path === INDEX);
  const json = hasIndex ? await readJson(joinPath(model.folder, INDEX)) : {};
  const stated = isRecord(json) ? json : {};
  const components = COMPONENTS.filter((name) => hasComponent(model, name));
  return {
    _class_name: pipeline,
    ...Object.fromEntries(components.map((name) => [name, stated[name] ?? CLASSES[name]])),
  };
}
