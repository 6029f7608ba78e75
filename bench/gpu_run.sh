#!/usr/bin/env bash
# All that is measured on a GPU, in one call of under five minutes and without a network. In: Deno (or ./pixart's own) on PATH with the
# packages in its cache, python3 with PyTorch. Out: JSON documents and logs in $OUT, and a short table at the end.
#
#   OUT=results bench/gpu_run.sh              everything
#   OUT=results SECONDS_IN_ALL=200 bench/...  in less time, or more, than the 285 seconds that it takes by itself
#   OUT=results bench/gpu_run.sh --smoke      the same steps at their least, to see that the script runs
#
# A part that fails or takes too long is told, and the next one begins.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
out=${OUT:-bench-out}
mkdir -p "$out"
export NO_COLOR=1 PIXART_NO_INSTALL=1 PYTHONUNBUFFERED=1
python=${PIXART_PYTHON:-python3}
total=${SECONDS_IN_ALL:-285}
smoke=
[ "${1:-}" != --smoke ] || smoke=1

# of SECONDS: that share of the time.
of() { echo $(($1 * total / 285)); }

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

nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null
if [ -n "$smoke" ]; then
  part pytorch 200 "$python" bench/peers/pytorch.py --json "$out/pytorch.json" --smoke --seconds 0.05
else
  part pytorch "$(of 36)" "$python" bench/peers/pytorch.py --json "$out/pytorch.json"
fi
beside=()
[ ! -s "$out/pytorch.json" ] || beside=(--pytorch "$out/pytorch.json")

# Right before fast. Both at once: nothing is timed here.
folders=(ops layers dit text vae)
[ -z "$smoke" ] || folders=(ops/layer_norm)
part tests-dawn "$(of 45)" ./pixart test --backend dawn "${folders[@]}" &
part tests-deno "$(of 45)" ./pixart test --backend deno "${folders[@]}" &
wait
for backend in dawn deno; do
  echo "$backend: $(grep -c ' \.\.\. ok' "$out/tests-$backend.log") passed, $(grep -c ' \.\.\. FAILED' "$out/tests-$backend.log") failed"
  grep ' \.\.\. FAILED' "$out/tests-$backend.log" | cut -c1-150 | head -n 10
done

if [ -n "$smoke" ]; then
  for backend in dawn deno; do measure "$backend" "$backend" 120 layer_norm 256; done
else
  measure dawn-networks dawn "$(of 75)" networks f16
  measure dawn-ops dawn "$(of 30)" ops f16
  measure deno deno "$(of 60)" 1024 f16
  measure picture dawn "$(of 30)" picture
fi
tar -C "$out" -czf "$out/logs.tgz" --remove-files $(cd "$out" && ls ./*.log)
echo "== $SECONDS s"
