// Texts of the exported page in English and Korean, beside those of the shared parts.
import { addWords } from "./words.js";

addWords({
  en: {
    skipInput: "Skip to the input",
    offlineNote: "Everything runs in this page: nothing that you enter leaves your device.", madeWith: "Made with Recurra {v}. This file needs no internet connection.",
    starting: "Starting the model…", noEngine: "This browser cannot run the page: it needs WebAssembly with SIMD (Chrome 91, Firefox 113, Safari 16.4 or newer).",
    tooManyCharacters: "The text has {n} characters; this page reads at most {most}.", tooManySteps: "The input has {n} steps; this page shows at most {most}.",
    tooFar: "Step {step}: a value is too far outside the training data.", notSteps: "The input is not a list of steps with {want} numbers each: see step {step}.", notSeries: "The input is not a list of steps.",
    draw: "Draw a signal", drawHere: "Draw here with a finger, a pen or the mouse.", drawHelp: "Arrow keys: left and right choose a step, up and down change its value, Page Up and Page Down change it more.",
    drawFeature: "Column to draw", drawSteps: "Steps", flat: "Flat signal", drawnAt: "{name}, step {step}: {value}", seriesOf: "Series in the table",
    badTime: "Line {line}: “{text}” is not a time such as 2024-01-31 or 2024-01-31 13:00.", irregular: "Line {line}: the time is not {step} after the line before.", noHistory: "The table has no value of {names}.",
    endOfText: "(end)", likelihood: "Probability of this token", condition: "Label of the text", none: "none", attention: "Attention", attentionLead: "The bars show the weight of each step in the answer (attention).",
    outputs: "Output after each step", outputsLead: "The answer if the input ended at this step. Select a step here or in any figure below.", likelihoodLead: "How probable each token was after the tokens before it.", noOutputs: "The model reads the input in both directions, so it has no output after each step.",
  },
  ko: {
    skipInput: "입력으로 건너뛰기",
    offlineNote: "모든 계산은 이 페이지 안에서 실행됩니다. 입력한 내용은 기기 밖으로 나가지 않습니다.", madeWith: "Recurra {v}로 만들었습니다. 인터넷 연결 없이 열 수 있는 단일 파일입니다.",
    starting: "모델을 준비하는 중…", noEngine: "이 브라우저에서는 실행할 수 없습니다. SIMD를 지원하는 WebAssembly가 필요합니다(Chrome 91, Firefox 113, Safari 16.4 이상).",
    tooManyCharacters: "텍스트가 {n}자입니다. 이 페이지는 {most}자까지 읽습니다.", tooManySteps: "입력이 {n}스텝입니다. 이 페이지는 {most}스텝까지 표시합니다.",
    tooFar: "스텝 {step}: 값이 학습 데이터의 범위를 크게 벗어났습니다.", notSteps: "스텝마다 숫자 {want}개가 있어야 합니다. 스텝 {step}을(를) 확인하세요.", notSeries: "스텝의 목록이 아닙니다.",
    draw: "신호 그리기", drawHere: "손가락, 펜 또는 마우스로 여기에 그려 보세요.", drawHelp: "화살표 키: 왼쪽·오른쪽은 스텝 선택, 위·아래는 값 변경, Page Up·Page Down은 값을 크게 변경합니다.",
    drawFeature: "그릴 열", drawSteps: "스텝 수", flat: "평평한 신호", drawnAt: "{name}, 스텝 {step}: {value}", seriesOf: "표의 시계열",
    badTime: "{line}번째 줄의 “{text}”은(는) 2024-01-31 또는 2024-01-31 13:00 같은 시각이 아닙니다.", irregular: "{line}번째 줄의 시각이 앞줄에서 {step} 뒤가 아닙니다.", noHistory: "표에 {names} 값이 없습니다.",
    endOfText: "(끝)", likelihood: "이 토큰의 확률", condition: "텍스트의 라벨", none: "없음", attention: "어텐션", attentionLead: "막대는 각 스텝이 결과에 기여하는 가중치(어텐션)입니다.",
    outputs: "스텝별 출력", outputsLead: "입력이 이 스텝에서 끝났을 때의 결과입니다. 여기나 아래 그림에서 스텝을 선택할 수 있습니다.", likelihoodLead: "앞의 토큰들 다음에 각 토큰이 나올 확률입니다.", noOutputs: "이 모델은 입력을 양방향으로 읽으므로 스텝별 출력이 없습니다.",
  },
});
