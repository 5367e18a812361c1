// Texts of the parts that pages share, in English and Korean.
const WORDS = {
  en: {
    language: "한국어", toDark: "Dark", toLight: "Light", theme: "Switch between light and dark colours",
    lead: "Recurrent networks whose gates and states you can inspect.",
    classesOf: "{n} classes", featuresOf: "{n} features", featureOf: "1 feature", horizonOf: "{n} steps ahead", rateOf: "{n} Hz",
    "metric mae": "MAE", "metric mse": "MSE", "metric mase": "MASE", "metric bleu": "BLEU", "metric chrf": "chrF", "metric f1": "F1", "metric accuracy": "accuracy", "metric perplexity": "perplexity", "metric loss": "loss", "metric r2": "R²", "metric word_error_rate": "word error rate", "metric error_rate": "error rate", "metric macro_f1": "macro F1", feature: "Feature {n}", measured: "{name} {value} on held-out data",
    input: "Input", textLabel: "Text", seriesLabel: "Numbers: one step per line, values separated by commas", tableLabel: "History: a table with a header line, or numbers", blankLabel: "Text with blanks: [ ]", soundLabel: "Recording",
    openFile: "Open a file", orDrop: "or drop it here, or paste", example: "Example", clear: "Clear", chosen: "{name}, {size}", noFile: "No file yet.", simulate: "Simulated series",
    tooLarge: "The file has {size}; at most {most} are read.", notNumbers: "Line {line}, value {place}: “{text}” is not a number.", notNumbersColumn: "Line {line}, column {column}: “{text}” is not a number.", noColumn: "The table lacks the column {column}; it has {names}.", notColumns: "Line {line} has {n} values; the model takes {want}.", notJson: "This is not valid JSON.",
    answer: "Answer", waiting: "Enter an input. The answer follows as you type.", "class": "Class", probability: "Probability", word: "Word", tag: "Tag", step: "Step", forecast: "Forecast", lower: "Lower", upper: "Upper", confidence: "confidence {p}",
    noWords: "No words.", value: "Value", target: "Target {n}", blank: "Blank {n}", translation: "Translation", others: "Other translations", score: "score {s}", emptyText: "(empty)", transcript: "Transcript", nextTokens: "Most probable next tokens", token: "Token", asTable: "As a table", history: "history",
    write: "Continue the text", stop: "Stop", temperature: "Temperature", length: "Length", seed: "Seed", random: "random", ended: "Generated {n} tokens.", stopped: "Stopped.",
    inside: "Inside the model", insideLead: "Gates and states for the input above. They change as you type.", insideEmpty: "Enter an input to see gates and states.", insideTable: "Values as a table", gate: "Gate or state", mean: "Mean", least: "Minimum", greatest: "Maximum", atStep: "Unit {unit}, step {step}", contribution: "Contribution",
    "note precision": "Numbers are rounded to 65,536 levels between the minimum and the maximum of each gate.", "note steps": "Steps 1 to {shown} of {of} are shown.", "note units": "The {shown} most active of {of} units are shown.", "note parts": "{shown} of {of} calls of recurrent layers are shown.",
    outputPlot: "Output of the model", inputColumn: "Input", outputColumn: "Output",
    place: "Place: {place}", placeStep: "step {n}", placeFeature: "value {n}",
    failed: "An error of the page: {text}",
  },
  ko: {
    language: "English", toDark: "어둡게", toLight: "밝게", theme: "밝은 색과 어두운 색 전환",
    lead: "게이트와 상태를 들여다볼 수 있는 순환 신경망입니다.",
    classesOf: "클래스 {n}개", featuresOf: "특성 {n}개", featureOf: "특성 1개", horizonOf: "{n}스텝 예측", rateOf: "{n} Hz",
    "metric mae": "MAE", "metric mse": "MSE", "metric mase": "MASE", "metric bleu": "BLEU", "metric chrf": "chrF", "metric f1": "F1", "metric accuracy": "정확도", "metric perplexity": "퍼플렉시티", "metric loss": "손실", "metric r2": "R²", "metric word_error_rate": "단어 오류율", "metric error_rate": "오류율", "metric macro_f1": "매크로 F1", feature: "특성 {n}", measured: "검증 {name} {value}",
    input: "입력", textLabel: "텍스트", seriesLabel: "숫자: 한 줄에 한 스텝, 값은 쉼표로 구분", tableLabel: "과거 데이터: 머리글이 있는 표 또는 숫자", blankLabel: "빈칸 [ ]이 있는 텍스트", soundLabel: "녹음",
    openFile: "파일 열기", orDrop: "또는 여기에 끌어다 놓거나 붙여넣기", example: "예시", clear: "지우기", chosen: "{name}, {size}", noFile: "선택한 파일이 없습니다.", simulate: "시뮬레이션 시계열",
    tooLarge: "파일 크기가 {size}입니다. {most}까지 읽을 수 있습니다.", notNumbers: "{line}번째 줄 {place}번째 값 “{text}”은(는) 숫자가 아닙니다.", notNumbersColumn: "{line}번째 줄 {column} 열의 “{text}”은(는) 숫자가 아닙니다.", noColumn: "표에 {column} 열이 없습니다. 있는 열: {names}", notColumns: "{line}번째 줄의 값은 {n}개인데 모델의 입력은 {want}개입니다.", notJson: "올바른 JSON이 아닙니다.",
    answer: "결과", waiting: "입력하면 바로 결과가 나타납니다.", "class": "클래스", probability: "확률", word: "단어", tag: "태그", step: "스텝", forecast: "예측", lower: "하한", upper: "상한", confidence: "신뢰도 {p}",
    noWords: "단어가 없습니다.", value: "값", target: "타깃 {n}", blank: "빈칸 {n}", translation: "번역", others: "다른 번역", score: "점수 {s}", emptyText: "(빈 텍스트)", transcript: "받아쓴 텍스트", nextTokens: "다음에 올 확률이 높은 토큰", token: "토큰", asTable: "표로 보기", history: "과거 데이터",
    write: "이어서 쓰기", stop: "정지", temperature: "온도", length: "길이", seed: "시드", random: "무작위", ended: "토큰 {n}개를 생성했습니다.", stopped: "정지했습니다.",
    inside: "모델 내부", insideLead: "위 입력에 대한 게이트와 상태입니다. 입력하는 동안 계속 갱신됩니다.", insideEmpty: "입력하면 게이트와 상태가 나타납니다.", insideTable: "값을 표로 보기", gate: "게이트 또는 상태", mean: "평균", least: "최솟값", greatest: "최댓값", atStep: "유닛 {unit}, 스텝 {step}", contribution: "기여도",
    "note precision": "숫자를 게이트별 최솟값과 최댓값 사이의 65,536단계로 반올림했습니다.", "note steps": "스텝 {of}개 중 1–{shown}을 표시합니다.", "note units": "유닛 {of}개 중 활동량이 큰 {shown}개를 표시합니다.", "note parts": "순환층 호출 {of}번 중 {shown}번을 표시합니다.",
    outputPlot: "모델 출력", inputColumn: "입력", outputColumn: "출력",
    place: "위치: {place}", placeStep: "스텝 {n}", placeFeature: "값 {n}",
    failed: "페이지 오류: {text}",
  },
};

let spoken = "en";
export const language = () => spoken;
export const languages = Object.keys(WORDS);
// Adds the texts of a page: { en: { key: text }, ko: { key: text } }
export const addWords = (more) => { for (const one of languages) Object.assign(WORDS[one], more[one]); };

export function speak(wanted) {
  spoken = wanted;
  R.language = wanted;
  document.documentElement.lang = wanted;
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = t(element.dataset.word);
}

export const known = (key) => key in WORDS[spoken];
export const t = (key, values = {}) => (WORDS[spoken][key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);

const exact = (digits) => new Intl.NumberFormat("en", { maximumSignificantDigits: digits, useGrouping: false });
const formats = { 3: exact(3), 4: exact(4), 6: exact(6) };
export const number = (value, digits = 4) => value === null || value === undefined ? "—" : formats[digits].format(value).replace("-", "−");
export const percent = (value) => `${(100 * value).toFixed(1)} %`;
export const size = (bytes) => bytes < 1e6 ? `${number(bytes / 1000, 3)} kB` : `${number(bytes / 1e6, 3)} MB`;

// An error of the server in words, with the place of the wrong value.
export function explain(error) {
  const words = [error.message];
  if (error.retryAfter) words.push(t("retryAfter", { seconds: error.retryAfter }));
  const place = (error.path ?? []).slice(error.path?.[0] === "inputs" ? 2 : 0);
  if (place.length) {
    const names = [(n) => t("placeStep", { n }), (n) => t("placeFeature", { n })];
    const parts = place.map((part, i) => typeof part === "number" ? (names[i] ?? String)(part + 1) : part);
    words.push(t("place", { place: parts.join(", ") }));
  }
  return words.map((text) => /[.!?]$/.test(text) ? text : `${text}.`).join(" ");
}
