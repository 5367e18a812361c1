// All words of the page, in English and Korean.
{
  const NAMES = {
    en: { forget: "Forget gate", input: "Input gate", candidate: "Candidate", output: "Output gate", reset: "Reset gate", update: "Update gate", hidden: "Hidden state", cell: "Cell state" },
    ko: { forget: "망각 게이트", input: "입력 게이트", candidate: "후보값", output: "출력 게이트", reset: "리셋 게이트", update: "업데이트 게이트", hidden: "은닉 상태", cell: "셀 상태" },
  };
  const STRINGS = {
    en: {
      skip: "Skip to the pictures", language: "한국어", toDark: "Dark", toLight: "Light", theme: "Colours: change between light and dark",
      answers: "The model answers", task: "Model", reads: "Reads", cell: "Cell", layers: "Layers", units: "Units", steps: "Steps",
      "forward": "forward", "backward": "backward", "both": "forward and backward",
      part: "Network", layer: "Layer", direction: "Reads", unit: "unit", step: "step", Unit: "Unit", Step: "Step", previous: "previous", next: "next",
      "heat map": "heat map",
      inputTitle: "What the model read", inputLead: "Choose a step here, or anywhere below: every picture follows.",
      inputSeries: "The numbers that the network gets at each step, scaled as in training.", inputFigure: "Input", tokens: "Steps of the input", steppingThrough: "{n} steps",
      gatesTitle: "Every gate and state", sort: "Units in the order of", "order index": "their number", "order activity": "activity, liveliest first", "order likeness": "likeness", "order memory": "half-life, longest first",
      unitsBy: "units, by {order}",
      "gatesLead lstm": "One row is one unit, one column one step. A gate of 1 lets all through, 0 nothing: forget keeps the cell state, input writes to it, output shows it.",
      "gatesLead gru": "One row is one unit, one column one step. The update gate keeps the past where it is 1 and takes the candidate where it is 0; the reset gate says how much of the past the candidate sees.",
      "gatesLead rnn": "One row is one unit, one column one step. A plain cell has no gates: its hidden state is made anew at every step.",
      gatesLead: "One row is one unit, one column one step.",
      mapHelp: "{units} units by {steps} steps. Arrow keys move the cursor.",
      unitTitle: "One unit, step by step", unitLead: "What a single unit kept and showed while the model read.", linesTitle: "States and gates of the unit", linesCaption: "Above: its states. Below: how far each gate was open, from 0 to 1; the candidate lies between −1 and 1.",
      cellTitle: "Inside one step", cellLead: "Follow the memory along the belt. All numbers are those of the chosen unit and step.", cellFigure: "The cell at work",
      stage: "Stage", play: "Play", stop: "Stop", nextStep: "Next step", recorded: "in the trace", same: "the same", differs: "differs",
      "noCell": "There is no drawing of this cell: it is one of your own, or some of its gates were left out of the trace.",
      noBefore: "The step before is not on this page, so its state is not known here.", start: "start: 0",
      inputPart: "from the input", pastPart: "from the past", word: "input", past: "the past", toNext: "to the next step", keeps: "keeps {p}", writes: "writes {p}", shows: "shows {p}", sees: "sees {p}", takes: "takes {p}",
      "lstm 1": "Forget", "lstm 1 says": "The memory rides in from the step before. The forget gate lets {p} of it pass.",
      "lstm 2": "Write", "lstm 2 says": "From the input and the past comes a candidate, between −1 and 1. The input gate lets {p} of it onto the belt.",
      "lstm 3": "Update", "lstm 3 says": "What was kept and what is new are added: the new cell state. Adding is why memory can last, and gradients with it.",
      "lstm 4": "Output", "lstm 4 says": "The memory rides on to the next step. The output gate shows {p} of its tanh to the rest of the network: the hidden state.",
      "gru 1": "Reset", "gru 1 says": "The reset gate lets {p} of what the past has to say reach the candidate.",
      "gru 2": "Candidate", "gru 2 says": "From the input and that share of the past comes the candidate, between −1 and 1.",
      "gru 3": "Share out", "gru 3 says": "One gate turns both valves: the update gate keeps {p} of the past, and takes the rest from the candidate.",
      "gru 4": "Update", "gru 4 says": "Both are added: the new hidden state, which is memory and output at once.",
      "rnn 1": "The past", "rnn 1 says": "Nothing rides through. The whole state before is multiplied by weights and reaches this unit as one number.",
      "rnn 2": "The input", "rnn 2 says": "The input of this step, weighted, is added to it.",
      "rnn 3": "Squash", "rnn 3 says": "{f} presses the sum into the new state. Every step does this again to all that came before, so old traces fade, and gradients with them.",
      sumOf: "= {f} of {a} from the input and {b} from the past",
      feature: "feature",
      "why broken": "Not measured: some values are not finite numbers.",
      "why long": "Not measured: the sequence has more than {most} steps.",
      copied: "copied", copy: "Copy", select: "selected: press Ctrl+C",
      footKeys: "Keys", keySteps: "← → step", keyUnits: "↑ ↓ unit, in a picture", keyStages: "1–4 stage of the cell", keyPlay: "P play",
      madeBy: "Made by Recurra {v}. One file, no network.", notesTitle: "About the numbers",
      "note precision": "Numbers are rounded to 65,536 levels between the least and the greatest of each gate, so that the page stays small.",
      "note steps": "Steps 1 to {shown} of {of} are shown; choose others with --time A:B.",
      "note units": "The {shown} liveliest of {of} units are shown; choose others with --units.",
      "note parts": "{shown} of {of} calls of recurrent layers are shown.",
      "note subset": "Steps {from} to {to} of {of} were traced.",
      deviation: "The trace was made again from the weights; it differs from the layers' own output by at most {d}.",
    },
    ko: {
      skip: "그림으로 건너뛰기", language: "English", toDark: "어둡게", toLight: "밝게", theme: "색: 밝게 또는 어둡게",
      answers: "모델의 답", task: "모델", reads: "읽는 방향", cell: "셀", layers: "층", units: "유닛", steps: "스텝",
      "forward": "순방향", "backward": "역방향", "both": "순방향과 역방향",
      part: "네트워크", layer: "층", direction: "방향", unit: "유닛", step: "스텝", Unit: "유닛", Step: "스텝", previous: "이전", next: "다음",
      "heat map": "히트맵",
      inputTitle: "모델이 읽은 것", inputLead: "여기나 아래 어느 그림에서든 스텝을 고르면 모든 그림이 따라갑니다.",
      inputSeries: "각 스텝에서 네트워크에 들어가는 값입니다. 학습 때와 같은 척도로 맞추었습니다.", inputFigure: "입력", tokens: "입력의 스텝", steppingThrough: "{n}개 스텝",
      gatesTitle: "모든 게이트와 상태", sort: "유닛 순서", "order index": "번호", "order activity": "활동량 (큰 것부터)", "order likeness": "비슷한 것끼리", "order memory": "반감기 (긴 것부터)",
      unitsBy: "유닛 순서: {order}",
      "gatesLead lstm": "한 행이 유닛 하나, 한 열이 스텝 하나입니다. 게이트가 1이면 모두 통과시키고 0이면 막습니다. 망각 게이트는 셀 상태를 간직하고, 입력 게이트는 새로 쓰고, 출력 게이트는 밖으로 보여 줍니다.",
      "gatesLead gru": "한 행이 유닛 하나, 한 열이 스텝 하나입니다. 업데이트 게이트가 1이면 과거를 간직하고 0이면 후보값을 받아들입니다. 리셋 게이트는 후보값이 과거를 얼마나 볼지 정합니다.",
      "gatesLead rnn": "한 행이 유닛 하나, 한 열이 스텝 하나입니다. 기본 RNN에는 게이트가 없어 은닉 상태를 스텝마다 새로 만듭니다.",
      gatesLead: "한 행이 유닛 하나, 한 열이 스텝 하나입니다.",
      mapHelp: "유닛 {units}개, 스텝 {steps}개. 화살표 키로 커서를 옮깁니다.",
      unitTitle: "유닛 하나를 스텝마다", unitLead: "모델이 읽는 동안 유닛 하나가 무엇을 간직하고 무엇을 내보였는지 봅니다.", linesTitle: "유닛의 상태와 게이트", linesCaption: "위: 상태. 아래: 각 게이트가 열린 정도(0에서 1까지). 후보값은 −1과 1 사이입니다.",
      cellTitle: "한 스텝의 안쪽", cellLead: "컨베이어 벨트를 따라 기억을 좇아가 보세요. 모든 숫자는 고른 유닛과 스텝의 실제 값입니다.", cellFigure: "일하는 셀",
      stage: "단계", play: "재생", stop: "멈춤", nextStep: "다음 스텝", recorded: "기록된 값", same: "일치", differs: "차이",
      "noCell": "이 셀은 그림이 없습니다. 직접 만든 셀이거나 일부 게이트가 기록에서 빠졌습니다.",
      noBefore: "바로 앞 스텝이 이 페이지에 없어 그 상태를 알 수 없습니다.", start: "시작: 0",
      inputPart: "입력에서", pastPart: "과거에서", word: "입력", past: "과거", toNext: "다음 스텝으로", keeps: "{p} 간직", writes: "{p} 쓰기", shows: "{p} 보이기", sees: "{p} 보기", takes: "{p} 받기",
      "lstm 1": "망각", "lstm 1 says": "앞 스텝의 기억이 벨트를 타고 들어옵니다. 망각 게이트는 그 가운데 {p}를 통과시킵니다.",
      "lstm 2": "쓰기", "lstm 2 says": "입력과 과거에서 −1과 1 사이의 후보값이 나옵니다. 입력 게이트는 그 가운데 {p}를 벨트에 올립니다.",
      "lstm 3": "갱신", "lstm 3 says": "간직한 것과 새것을 더하면 새 셀 상태입니다. 곱하지 않고 더하므로 기억도 기울기도 오래갑니다.",
      "lstm 4": "출력", "lstm 4 says": "기억은 다음 스텝으로 갑니다. 출력 게이트는 그 tanh 값의 {p}를 네트워크의 나머지에 보입니다. 이것이 은닉 상태입니다.",
      "gru 1": "리셋", "gru 1 says": "리셋 게이트는 과거가 하는 말 가운데 {p}를 후보값에 들려줍니다.",
      "gru 2": "후보값", "gru 2 says": "입력과 그만큼의 과거에서 −1과 1 사이의 후보값이 나옵니다.",
      "gru 3": "나누기", "gru 3 says": "게이트 하나가 두 밸브를 함께 돌립니다. 업데이트 게이트는 과거의 {p}를 간직하고 나머지는 후보값에서 받습니다.",
      "gru 4": "갱신", "gru 4 says": "둘을 더하면 새 은닉 상태입니다. 기억이면서 출력입니다.",
      "rnn 1": "과거", "rnn 1 says": "그대로 지나가는 것은 없습니다. 앞 스텝의 상태 전체가 가중치와 곱해져 이 유닛에 숫자 하나로 옵니다.",
      "rnn 2": "입력", "rnn 2 says": "이 스텝의 입력이 가중치와 곱해져 더해집니다.",
      "rnn 3": "누르기", "rnn 3 says": "{f}가 합을 눌러 새 상태로 만듭니다. 스텝마다 지난 모든 것에 이 일을 되풀이하므로 오래된 흔적도 기울기도 사라집니다.",
      sumOf: "= {f}(입력에서 {a}, 과거에서 {b})",
      feature: "특징",
      "why broken": "유한하지 않은 값이 있어 재지 않았습니다.",
      "why long": "{most}스텝보다 긴 시퀀스라서 재지 않았습니다.",
      copied: "복사했습니다", copy: "복사", select: "선택했습니다: Ctrl+C",
      footKeys: "키보드", keySteps: "← → 스텝", keyUnits: "↑ ↓ 유닛 (그림 안에서)", keyStages: "1–4 셀의 단계", keyPlay: "P 재생",
      madeBy: "Recurra {v}로 만들었습니다. 파일 하나로 되어 있고 네트워크를 쓰지 않습니다.", notesTitle: "숫자에 대하여",
      "note precision": "파일을 작게 하려고 숫자를 게이트마다 최솟값과 최댓값 사이의 65,536단계로 반올림했습니다.",
      "note steps": "{of}개 스텝 가운데 1–{shown}을 보입니다. 다른 곳은 --time A:B로 고르세요.",
      "note units": "유닛 {of}개 가운데 가장 활발한 {shown}개를 보입니다. 다른 것은 --units로 고르세요.",
      "note parts": "순환층 호출 {of}번 가운데 {shown}번을 보입니다.",
      "note subset": "{of}개 스텝 가운데 {from}–{to}를 기록했습니다.",
      deviation: "기록은 가중치에서 다시 계산했습니다. 층의 실제 출력과의 차이는 최대 {d}입니다.",
    },
  };
  // what the models call themselves and their answers
  const TERMS = {
    "Sequence classifier": "시퀀스 분류기", "Sequence regressor": "시퀀스 회귀 모델", "Sequence tagger": "시퀀스 태거", "Language model": "언어 모델", Forecaster: "예측 모델",
    Translator: "번역기", "Blank filler": "빈칸 채우기 모델", Transcriber: "받아쓰기 모델", "log-odds of the answer": "답의 로그 오즈", score: "점수",
  };
  R.term = (text) => (R.language === "ko" && TERMS[text]) || text;

  R.language = R.data.language;
  R.t = (key, values = {}, otherwise = key) => {
    const words = STRINGS[R.language], text = words[key] ?? words[otherwise] ?? otherwise;
    return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
  };
  R.name = (name, form) => {
    const text = NAMES[R.language][name] ?? name;
    return form === "short" ? text.replace(/ (gate|state|게이트)$/, "") : text;
  };
  R.languages = Object.keys(STRINGS);
  // adds the words of a section: { en: { key: text }, ko: { key: text } }
  R.addStrings = (more) => { for (const language of R.languages) Object.assign(STRINGS[language], more[language]); };
  R.strings = STRINGS;
}
