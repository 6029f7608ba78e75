// A checkpoint in several files. In: an index in JSON, `{ "weight_map": { tensor: file } }`, whose files lie beside it.
// Out: one WeightSource over all of them.
import { WeightsError } from "../errors.ts";
import { folderOf, joinPath, type OpenOptions, readBytes } from "./byte_source.ts";
import { shown } from "./address.ts";
import { isRecord, parseStrictJson } from "./strict_json.ts";
import type { ReadRange, TensorInfo, WeightSource } from "./weights.ts";

/**
 * Opens every shard that an index names, and checks that each holds what the index says.
 *
 * @param openShard Opens one file, given its path or URL.
 * @throws {WeightsError} that names the index, and the file or tensor that is not there or not beside it.
 */
export async function openShards(
  index: string | URL,
  options: OpenOptions,
  openShard: (address: string) => Promise<WeightSource>,
): Promise<WeightSource> {
  const name = shown(String(index));
  const wrong = (state: string) => new WeightsError(`Cannot read ${name} as an index of shards: ${state}`);
  let parsed: unknown;
  try {
    parsed = parseStrictJson(await readBytes(index, options), 8);
  } catch (error) {
    if (error instanceof SyntaxError) throw wrong(error.message);
    throw error;
  }
  const map = isRecord(parsed) ? parsed.weight_map : undefined;
  if (!isRecord(map)) throw wrong("it has no object weight_map");
  const fileOf = new Map<string, string>();
  for (const [tensor, file] of Object.entries(map)) {
    // A name with a separator could lead out of the checkpoint's folder.
    if (typeof file !== "string" || !/^[^/\\:?#%]+\.(safetensors|bin)$/.test(file)) {
      throw wrong(
        `tensor "${tensor.slice(0, 120)}" would be in ${JSON.stringify(file)?.slice(0, 120)}, not a file beside it`,
      );
    }
    fileOf.set(tensor, file);
  }
  if (fileOf.size === 0) throw wrong("its weight_map is empty");
  const opened = new Map<string, WeightSource>();
  const close = () => opened.forEach((shard) => shard[Symbol.dispose]());
  try {
    for (const file of new Set(fileOf.values())) {
      opened.set(file, await openShard(joinPath(folderOf(index), file)));
    }
    for (const [tensor, file] of fileOf) {
      if (!opened.get(file)!.has(tensor)) throw wrong(`tensor "${tensor.slice(0, 120)}" is not in ${file}`);
    }
  } catch (error) {
    close();
    throw error;
  }
  return new ShardedWeights(name, fileOf, opened);
}

class ShardedWeights implements WeightSource {
  readonly metadata: Record<string, string> = Object.create(null);
  readonly #shardOf = new Map<string, WeightSource>();
  readonly #shards: WeightSource[];

  constructor(readonly name: string, fileOf: Map<string, string>, opened: Map<string, WeightSource>) {
    this.#shards = [...opened.values()];
    for (const shard of this.#shards) Object.assign(this.metadata, shard.metadata);
    for (const [tensor, file] of fileOf) this.#shardOf.set(tensor, opened.get(file)!);
  }

  names(): string[] {
    return [...this.#shardOf.keys()].sort();
  }

  has(name: string): boolean {
    return this.#shardOf.has(name);
  }

  info(name: string): TensorInfo {
    return this.#find(name).info(name);
  }

  async read(name: string, ...range: ReadRange): Promise<Uint8Array<ArrayBuffer>> {
    return await this.#find(name).read(name, ...range);
  }

  #find(name: string): WeightSource {
    const shard = this.#shardOf.get(name);
    if (shard) return shard;
    throw new WeightsError(`Cannot find tensor "${name}" in ${this.name}: it lists ${this.#shardOf.size} others`);
  }

  [Symbol.dispose](): void {
    for (const shard of this.#shards) shard[Symbol.dispose]();
  }
}
