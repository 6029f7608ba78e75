#!/usr/bin/env bash
# All that is measured on a GPU, in one call of four minutes and without a network. In: Deno (or ./pixart's own) on PATH with the
# packages in its cache, python3 with PyTorch. Out: JSON documents and logs in $OUT, and a short table at the end.
#
#   OUT=results bench/gpu_run.sh                    everything
#   OUT=results bench/gpu_run.sh --without-tests    only what is timed
#   OUT=results bench/gpu_run.sh --smoke            the same steps at their least, to see that the script runs
#   OUT=results bench/gpu_run.sh --tiles            only the search for the tiles of kernels: $OUT/tiles/*.json, for src/ops/tiles
#                                                   (with GPU_RUN_SECONDS=560 it fits a call of ten minutes)
#
# GPU_RUN_SECONDS=300 gives all parts more time than the 240 seconds that they share by themselves, or less. PIXART_COMMIT names the
# commit where there is no history.
# A part that fails or takes too long is told, and the next one begins.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
out=${OUT:-bench-out}
mkdir -p "$out"
export NO_COLOR=1 PIXART_NO_INSTALL=1 PYTHONUNBUFFERED=1
python=${PIXART_PYTHON:-python3}
mode=${1:-}
total=${GPU_RUN_SECONDS:-240}

# of SECONDS: that share of the time.
of() { echo $(($1 * total / 240)); }

# part NAME SECONDS COMMAND...: runs it for so long at most, with its words in a log.
part() {
  local name=$1 limit=$2 start=$SECONDS status
  shift 2
  timeout --kill-after=5 "$limit" "$@" >"$out/$name.log" 2>&1 </dev/null
  status=$?
  case $status in
    0) status=ok ;;
    124 | 137) status="cut off after $limit s" ;;
    *) status="FAILED with status $status: $(grep -v '^$' "$out/$name.log" | tail -n 1 | cut -c1-160)" ;;
  esac
  echo "== $name: $status, $((SECONDS - start)) s"
}

# measure NAME BACKEND SECONDS WORDS...: one run of the bench; it begins nothing new when three quarters of its time are over.
measure() {
  local name=$1 backend=$2 limit=$3
  shift 3
  part "$name" "$limit" ./pixart bench "$@" --backend "$backend" --limit $((limit * 3 / 4)) --out "$out/$name.json" ${beside[@]+"${beside[@]}"}
  grep -E '^(pixart: .*:|ceilings|host|a picture|first)|NOT OK' "$out/$name.log" | cut -c1-170
}

# search BACKEND SECONDS WORDS...: the tiles of the kernels that this backend runs; what is found is written on the way.
search() {
  local backend=$1 limit=$2
  shift 2
  part "tiles-$backend" "$limit" ./pixart bench --tiles "$@" --backend "$backend" --limit $((limit * 9 / 10 - 5)) \
    --write "$out/tiles" --out "$out/tiles-$backend.json"
  grep -E 'in place of|NOT OK' "$out/tiles-$backend.log" | cut -c1-170
}

nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null
if [ "$mode" = --tiles ]; then
  # Tensor cores are Dawn's; what has none is Deno's. Each has kernels of its own; the second one adds to the files of the first.
  search dawn "$(of 120)" f16 int8
  search deno "$(of 120)"
  echo "== $SECONDS s"
  exit
fi
if [ "$mode" = --smoke ]; then
  part pytorch 200 "$python" bench/peers/pytorch.py --json "$out/pytorch.json" --smoke --seconds 0.05
else
  part pytorch "$(of 38)" "$python" bench/peers/pytorch.py --json "$out/pytorch.json"
fi
beside=()
[ ! -s "$out/pytorch.json" ] || beside=(--pytorch "$out/pytorch.json")

# Right before fast. Both at once: nothing is timed here.
if [ "$mode" != --without-tests ]; then
  folders=(ops layers dit text vae)
  [ "$mode" != --smoke ] || folders=(ops/layer_norm)
  part tests-dawn "$(of 47)" ./pixart test --backend dawn "${folders[@]}" &
  part tests-deno "$(of 47)" ./pixart test --backend deno "${folders[@]}" &
  wait
  for backend in dawn deno; do
    log=$out/tests-$backend.log
    echo "$backend: $(grep -c ' \.\.\. ok' "$log") passed, $(grep -c ' \.\.\. FAILED' "$log") failed"
    grep ' \.\.\. FAILED' "$log" | cut -c1-150 | head -n 10
  done
fi

if [ "$mode" = --smoke ]; then
  for backend in dawn deno; do measure "$backend" "$backend" 120 layer_norm 256; done
else
  measure dawn dawn "$(of 75)" networks ops f16
  measure deno deno "$(of 50)" 1024 f16
  measure picture dawn "$(of 30)" picture
fi
tar -C "$out" -czf "$out/logs.tgz" --remove-files $(cd "$out" && ls ./*.log)
echo "== $SECONDS s"
