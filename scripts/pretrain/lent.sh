#!/usr/bin/env bash
# Spends the minutes of a lent GPU (README.md, "One that is lent for some minutes"):
#   lent.sh draw            draws the sets, on all cores
#   lent.sh train SECONDS [ROLE …]   trains the base and the eyes, or those named, beside each other
#                           for so long; what they made is left in $OUT in parts that may travel
# It rehearses on a CPU: DEVICE=cpu SUBJECTS=40 BATCH=8 OUT=/tmp/out lent.sh draw, then train 60.
set -uo pipefail
cd "$(dirname "$0")/../.."
DEVICE=${DEVICE:-cuda} SUBJECTS=${SUBJECTS:-7000} BATCH=${BATCH:-96} CORES=${CORES:-$(nproc)}
FIRST=${FIRST:-40000}  # of the subjects: other ones than the last time
W=${W:-/dev/shm/pretrain} OUT=${OUT:?} K=$PWD/src/onbrand/models/pocket S=scripts/pretrain
export PYTHONPATH=/tmp/site:$PWD/src OMP_NUM_THREADS=1 PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1
mkdir -p "$W" "$OUT"

unpack() {
  [ -d .lent/whl ] && [ ! -d /tmp/site ] && python3 -m pip install -q --no-index --no-deps \
    --no-compile --no-cache-dir --target /tmp/site .lent/whl/*.whl
  [ -f "$W/emoji/pixels.npy" ] || python3 $S/parcel.py unpack .lent/emoji --work "$W/emoji"
}

draw() {
  local n=$SUBJECTS c=$CORES
  one() { python3 $S/draw.py --world "$1" --subjects "$2" --first "$3" --processes "$4" --out "$5" \
            > "$W/draw-$(basename "$5").log" 2>&1; }
  one fashion "$n" "$FIRST" $((c / 2)) "$W/drawn-fashion" &
  one mascots $((n * 6 / 7)) "$FIRST" $((c * 5 / 16 + 1)) "$W/drawn" &
  one products $((n / 2)) "$FIRST" $((c / 8 + 1)) "$W/drawn-products" &
  { one faults $((n / 9)) "$FIRST" $((c / 16 + 1)) "$W/drawn-faults"
    one mascots $((n / 35)) 900000 2 "$W/held-out"
    one products $((n / 58)) 900000 2 "$W/held-out-products"
    one fashion $((n / 44)) 900000 2 "$W/held-out-fashion"
    one faults $((n / 117)) 900000 2 "$W/held-out-faults"; } &
  wait
  tail -qn 1 "$W"/draw-*.log
}

base() {  # plain pictures first, many of them emoji; then the base looks at its own, too
  local end=$1 common="--device $DEVICE --vae $K/vae --tokenizer $K/tokenizer --latents $W/latents
    --drawn $W/drawn --work $W/emoji --mascots 0.6 --log-snr 0.5 --detail-weight 8
    --every 1000000 --no-sheets --workers 3 --paced"
  python3 $S/latents.py --device "$DEVICE" --batch 512 --vae "$K/vae" --latents "$W/latents" \
    --drawn "$W/drawn" --work "$W/emoji"
  echo "latents after $SECONDS s"
  python3 $S/unet.py $common --start "$K" --emoji-share 0.25 --batch $((BATCH * 4)) \
    --steps 2000 --rate 1e-3 --ema 0.998 --out "$W/plain" --limit-s $(((end - SECONDS) * 2 / 5 + 1))
  echo "plain after $SECONDS s"
  cp -r "$K" "$W/base" && cp -r "$W/plain/pipeline/." "$W/base"
  python3 $S/unet.py $common --start "$W/base" --emoji-share 0.15 --batch "$BATCH" --own "$BATCH" \
    --steps 500 --rate 5e-4 --ema 0.985 --out "$W/unet" --limit-s $((end - SECONDS - 15))
  echo "own after $SECONDS s"
}

eye() {  # name, script, seconds, batch, the rest
  local name=$1 script=$2 limit=$3 batch=$4
  shift 4
  python3 $S/"$script".py --device "$DEVICE" --workers 1 --paced --limit-s "$limit" \
    --batch "$batch" --every 1000000 --drawn "$W/drawn" --held-out "$W/held-out" \
    --work "$W/emoji" --out "$W/$name" "$@" > "$W/$name.txt" 2>&1
  echo "$name after $SECONDS s: $(grep -v "^{\|Loading\|Writing" "$W/$name.txt" | tail -n 3)"
  grep "^{" "$W/$name.txt" | cut -c1-700
}

train() {  # --steps of identity: about what fits in nine minutes, for --reading is a share of it
  local long=$(($1 - 40)) end=$((SECONDS + $1)) b=$BATCH name
  shift
  [ $# -gt 0 ] || set -- base identity identity-twin alignment alignment-twin parsing attributes
  rm -rf "$W"/{plain,unet,base,identity,identity-twin,alignment,alignment-twin,parsing,attributes}
  for name in "$@"; do
    case $name in
      base) { base "$end" > "$W/base.txt" 2>&1
        grep -v "^unet\|Loading\|Writing\|ImageProcessor" "$W/base.txt" | tail -n 40
        grep "^unet" "$W/base.txt" | tail -n 5; } & ;;
      identity) eye $name identity "$long" "$b" --start "$K/identity" --steps 2400 & ;;
      identity-twin)
        eye $name identity "$long" "$b" --twin --start "$K/twins/identity" --steps 5000 & ;;
      alignment)
        eye $name alignment "$long" "$b" --start "$K/alignment" --tokenizer "$K/alignment" & ;;
      alignment-twin) eye $name alignment "$long" "$b" --twin --start "$K/twins/alignment" \
        --tokenizer "$K/twins/alignment" & ;;
      parsing) eye $name parsing "$long" "$b" --start "$K/parsing" --power 0.25 & ;;
      attributes) eye $name attributes "$long" "$b" --start "$K/twins/attributes" & ;;
      *) echo "no role $name" >&2; exit 2 ;;
    esac
  done
  wait
  nvidia-smi --query-gpu=name,memory.used --format=csv,noheader 2>/dev/null
  for name in plain unet; do
    [ ! -d "$W/$name" ] || tar -C "$W" -cf - $name/pipeline $name/log.jsonl $name/scores.json | split -b 15M - "$OUT/$name.tar."
  done
  (cd "$W" && tar -czf "$OUT/eyes.tgz" */model */log.jsonl */scores.json ./*.txt)
  ls -l "$OUT"
}

unpack
case $1 in draw) draw ;; train) train "${@:2}" ;; *) exit 2 ;; esac
