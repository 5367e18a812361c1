// All texts of the page in English and Korean, except those of measures.
{
  const NAMES = {
    en: { forget: "Forget gate", input: "Input gate", candidate: "Candidate", output: "Output gate", reset: "Reset gate", update: "Update gate", hidden: "Hidden state", cell: "Cell state" },
    ko: { forget: "망각 게이트", input: "입력 게이트", candidate: "후보값", output: "출력 게이트", reset: "리셋 게이트", update: "업데이트 게이트", hidden: "은닉 상태", cell: "셀 상태" },
  };
  const STRINGS = {
    en: {
      skip: "Skip to the figures", language: "한국어", toDark: "Dark", toLight: "Light", theme: "Switch between light and dark colours",
      answers: "Prediction", task: "Model", reads: "Direction", cell: "Cell", layers: "Layers", units: "Units", steps: "Steps",
      "forward": "forward", "backward": "backward", "both": "forward and backward",
      part: "Network", layer: "Layer", direction: "Direction", unit: "unit", step: "step", Unit: "Unit", Step: "Step", previous: "previous", next: "next",
      "heat map": "heat map",
      inputTitle: "Input of the model", inputLead: "Select a step here or in any figure below. All figures show the selected step.",
      inputSeries: "The numbers that the network receives at each step, scaled as in training.", inputFigure: "Input", tokens: "Steps of the input",
      gatesTitle: "All gates and states", sort: "Order of units", "order index": "index", "order activity": "activity, highest first", "order likeness": "similarity", "order memory": "half-life, longest first",
      unitsBy: "units, by {order}",
      "gatesLead lstm": "Each row is a unit, each column a step. A gate of 1 passes everything, a gate of 0 passes nothing. The forget gate keeps the cell state, the input gate writes to it, the output gate exposes it.",
      "gatesLead gru": "Each row is a unit, each column a step. The update gate keeps the previous state at 1 and takes the candidate at 0. The reset gate sets how much of the previous state enters the candidate.",
      "gatesLead rnn": "Each row is a unit, each column a step. A plain RNN has no gates: it computes a new hidden state at every step.",
      gatesLead: "Each row is a unit, each column a step.",
      mapHelp: "{units} units by {steps} steps. Arrow keys move the cursor.",
      unitTitle: "One unit, step by step", unitLead: "States and gates of one unit while the model reads the input.", linesTitle: "States and gates of the unit", linesCaption: "Top: states. Bottom: how far each gate is open, from 0 to 1. The candidate is between −1 and 1.",
      cellTitle: "Inside one step", cellLead: "How the cell computes its new state. All numbers are the actual values of the selected unit and step.", cellFigure: "How the cell works", cellWide: "The drawing is wider than the screen. Swipe it sideways.",
      stage: "Stage", play: "Play", stop: "Stop", nextStep: "Next step", recorded: "in the trace", same: "equal", differs: "differs",
      "noCell": "There is no drawing of this cell: it is a custom cell, or the trace does not contain all of its gates.",
      noBefore: "The previous step is not on this page, so its state is unknown here.", start: "start: 0",
      inputPart: "from the input", pastPart: "from the previous state", biasPart: "bias", word: "input", past: "previous state", toNext: "to the next step", keeps: "keeps {p}", writes: "writes {p}", shows: "shows {p}", sees: "sees {p}", takes: "takes {p}",
      "lstm 1": "Forget", "lstm 1 says": "The cell state comes from the previous step. The forget gate keeps {p} of it.",
      "lstm 2": "Write", "lstm 2 says": "The input and the previous hidden state give a candidate between −1 and 1. The input gate writes {p} of it.",
      "lstm 3": "Update", "lstm 3 says": "The new cell state is the sum of the kept part and the written part. Because it is a sum, information and gradients can persist.",
      "lstm 4": "Output", "lstm 4 says": "The cell state goes to the next step. The output gate passes {p} of its tanh to the rest of the network as the hidden state.",
      "gru 1": "Reset", "gru 1 says": "The reset gate passes {p} of the contribution of the previous state to the candidate.",
      "gru 2": "Candidate", "gru 2 says": "The input and this part of the previous state give the candidate, between −1 and 1.",
      "gru 3": "Mix", "gru 3 says": "The update gate keeps {p} of the previous state and takes the rest from the candidate.",
      "gru 4": "Update", "gru 4 says": "The sum of both is the new hidden state. It is both the memory and the output.",
      "rnn 1": "Previous state", "rnn 1 says": "The whole previous state is multiplied by weights and reaches this unit as one number.",
      "rnn 2": "The input", "rnn 2 says": "The weighted input of this step is added.", "rnn 2 bias": "The weighted input of this step and the bias are added.",
      "rnn 3": "Activation", "rnn 3 says": "{f} turns the sum into the new state. Every step transforms the whole state again, so information from earlier steps fades, and gradients vanish.",
      feature: "feature", epoch: "Epoch", beforeTraining: "before training",
      "why broken": "Not measured: some values are not finite numbers.",
      "why long": "Not measured: the sequence has more than {most} steps.",
      copied: "copied", copy: "Copy", select: "selected: press Ctrl+C",
      footKeys: "Keys", keySteps: "← → step", keyUnits: "↑ ↓ unit, in a figure", keyStages: "1–4 stage of the cell", keyPlay: "P play",
      madeBy: "Made by Recurra {v}. This file needs no internet connection.", notesTitle: "About the numbers",
      "note precision": "To keep the file small, numbers are rounded to 65,536 levels between the minimum and the maximum of each gate.",
      "note steps": "Steps 1 to {shown} of {of} are shown. Choose others with --time A:B.",
      "note units": "The {shown} most active of {of} units are shown. Choose others with --units.",
      "note parts": "{shown} of {of} calls of recurrent layers are shown.",
      "note subset": "Steps {from} to {to} of {of} were traced.",
      deviation: "The trace was recomputed from the weights. It differs from the output of the layers by at most {d}.",
    },
    ko: {
      skip: "그림으로 건너뛰기", language: "English", toDark: "어둡게", toLight: "밝게", theme: "밝은 색과 어두운 색 전환",
      answers: "예측", task: "모델", reads: "방향", cell: "셀", layers: "층", units: "유닛", steps: "스텝",
      "forward": "순방향", "backward": "역방향", "both": "양방향",
      part: "네트워크", layer: "층", direction: "방향", unit: "유닛", step: "스텝", Unit: "유닛", Step: "스텝", previous: "이전", next: "다음",
      "heat map": "히트맵",
      inputTitle: "모델의 입력", inputLead: "여기나 아래 그림에서 스텝을 선택하면 모든 그림에 반영됩니다.",
      inputSeries: "네트워크가 각 스텝에서 받는 값입니다. 학습할 때와 같은 척도입니다.", inputFigure: "입력", tokens: "입력의 스텝",
      gatesTitle: "모든 게이트와 상태", sort: "유닛 정렬", "order index": "번호순", "order activity": "활동량이 큰 순", "order likeness": "유사도순", "order memory": "반감기가 긴 순",
      unitsBy: "유닛 ({order})",
      "gatesLead lstm": "행은 유닛, 열은 스텝입니다. 게이트 값이 1이면 모두 통과시키고 0이면 모두 막습니다. 망각 게이트는 셀 상태를 유지하고, 입력 게이트는 새 값을 쓰고, 출력 게이트는 셀 상태를 내보냅니다.",
      "gatesLead gru": "행은 유닛, 열은 스텝입니다. 업데이트 게이트가 1이면 이전 상태를 유지하고 0이면 후보값을 사용합니다. 리셋 게이트는 후보값에 이전 상태를 얼마나 반영할지 정합니다.",
      "gatesLead rnn": "행은 유닛, 열은 스텝입니다. 기본 RNN에는 게이트가 없으며 은닉 상태를 스텝마다 새로 계산합니다.",
      gatesLead: "행은 유닛, 열은 스텝입니다.",
      mapHelp: "유닛 {units}개, 스텝 {steps}개. 화살표 키로 커서를 옮깁니다.",
      unitTitle: "유닛 하나의 변화", unitLead: "모델이 입력을 읽는 동안 유닛 하나의 상태와 게이트입니다.", linesTitle: "유닛의 상태와 게이트", linesCaption: "위: 상태. 아래: 게이트가 열린 정도(0~1). 후보값의 범위는 −1~1입니다.",
      cellTitle: "한 스텝의 계산", cellLead: "셀이 새 상태를 계산하는 과정입니다. 모든 숫자는 선택한 유닛과 스텝의 실제 값입니다.", cellFigure: "셀의 동작", cellWide: "그림이 화면보다 넓습니다. 옆으로 밀어서 보세요.",
      stage: "단계", play: "재생", stop: "정지", nextStep: "다음 스텝", recorded: "기록된 값", same: "일치", differs: "불일치",
      "noCell": "이 셀의 그림은 없습니다. 사용자 정의 셀이거나 일부 게이트가 기록되지 않았습니다.",
      noBefore: "이전 스텝이 이 페이지에 없어 그 상태를 알 수 없습니다.", start: "시작: 0",
      inputPart: "입력 기여", pastPart: "이전 상태 기여", biasPart: "편향", word: "입력", past: "이전 상태", toNext: "다음 스텝으로", keeps: "{p} 유지", writes: "{p} 쓰기", shows: "{p} 출력", sees: "{p} 반영", takes: "{p} 사용",
      "lstm 1": "망각", "lstm 1 says": "이전 스텝의 셀 상태가 들어옵니다. 망각 게이트는 그중 {p}를 유지합니다.",
      "lstm 2": "쓰기", "lstm 2 says": "입력과 이전 은닉 상태로 −1과 1 사이의 후보값을 계산합니다. 입력 게이트는 그중 {p}를 씁니다.",
      "lstm 3": "갱신", "lstm 3 says": "유지한 값과 새로 쓴 값을 더하면 새 셀 상태가 됩니다. 값을 더하는 구조이므로 정보와 기울기가 오래 보존됩니다.",
      "lstm 4": "출력", "lstm 4 says": "셀 상태는 다음 스텝으로 전달됩니다. 출력 게이트는 그 tanh 값의 {p}를 은닉 상태로 내보냅니다.",
      "gru 1": "리셋", "gru 1 says": "리셋 게이트는 이전 상태가 후보값에 주는 영향의 {p}를 반영합니다.",
      "gru 2": "후보값", "gru 2 says": "입력과 이전 상태의 이 부분으로 −1과 1 사이의 후보값을 계산합니다.",
      "gru 3": "혼합", "gru 3 says": "업데이트 게이트는 이전 상태의 {p}를 유지하고 나머지는 후보값으로 채웁니다.",
      "gru 4": "갱신", "gru 4 says": "둘을 더하면 새 은닉 상태가 됩니다. 이 값이 기억이자 출력입니다.",
      "rnn 1": "이전 상태", "rnn 1 says": "이전 상태 전체가 가중치와 곱해져 이 유닛에 숫자 하나로 전달됩니다.",
      "rnn 2": "입력", "rnn 2 says": "이 스텝의 입력에 가중치를 곱해 더합니다.", "rnn 2 bias": "이 스텝의 입력에 가중치를 곱한 값과 편향을 더합니다.",
      "rnn 3": "활성화", "rnn 3 says": "{f} 함수가 합을 새 상태로 바꿉니다. 스텝마다 상태 전체를 다시 변환하므로 오래된 정보는 희미해지고 기울기는 소실됩니다.",
      feature: "특성", epoch: "에포크", beforeTraining: "학습 전",
      "why broken": "유한하지 않은 값이 있어 측정하지 않았습니다.",
      "why long": "시퀀스가 {most}스텝보다 길어 측정하지 않았습니다.",
      copied: "복사했습니다", copy: "복사", select: "선택했습니다. Ctrl+C를 누르세요",
      footKeys: "단축키", keySteps: "← → 스텝", keyUnits: "↑ ↓ 유닛 (그림 안에서)", keyStages: "1–4 셀의 단계", keyPlay: "P 재생",
      madeBy: "Recurra {v}로 만들었습니다. 인터넷 연결 없이 열 수 있는 단일 파일입니다.", notesTitle: "수치 안내",
      "note precision": "파일 크기를 줄이기 위해 숫자를 게이트별 최솟값과 최댓값 사이의 65,536단계로 반올림했습니다.",
      "note steps": "스텝 {of}개 중 1–{shown}을 표시합니다. 다른 구간은 --time A:B로 선택하세요.",
      "note units": "유닛 {of}개 중 활동량이 큰 {shown}개를 표시합니다. 다른 유닛은 --units로 선택하세요.",
      "note parts": "순환층 호출 {of}번 중 {shown}번을 표시합니다.",
      "note subset": "스텝 {of}개 중 {from}–{to}를 기록했습니다.",
      deviation: "기록은 가중치로 다시 계산한 값입니다. 층의 실제 출력과의 차이는 최대 {d}입니다.",
    },
  };
  // Korean titles of models and names of scores; `translations` of the data has the messages of Python
  const TERMS = {
    "Sequence classifier": "시퀀스 분류기", "Sequence regressor": "시퀀스 회귀 모델", "Sequence tagger": "시퀀스 태거", "Language model": "언어 모델", Forecaster: "예측 모델",
    Translator: "번역기", "Blank filler": "빈칸 채우기 모델", Transcriber: "음성 인식 모델", "log-odds of the answer": "예측의 로그 오즈", score: "점수", loss: "손실", accuracy: "정확도",
  };
  R.term = (text) => (R.language === "ko" && (TERMS[text] ?? R.data.translations?.[text])) || text;

  // the name of a metric in the history of a run, such as "valid_accuracy"
  R.metric = (key) => R.term(key.replace(/^valid_/, ""));

  R.t = (key, values = {}, otherwise = key) => {
    const words = STRINGS[R.language], text = words[key] ?? words[otherwise] ?? otherwise;
    return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
  };
  R.name = (name, form) => {
    const text = NAMES[R.language][name] ?? name;
    return form === "short" ? text.replace(/ (gate|state|게이트)$/, "") : text;
  };
  R.languages = Object.keys(STRINGS);
  // the first language of the browser that the page has
  R.browserLanguage = () => navigator.languages.map((name) => name.slice(0, 2).toLowerCase()).find((name) => R.languages.includes(name)) ?? "en";
  // adds the texts of a section: { en: { key: text }, ko: { key: text } }
  R.addStrings = (more) => { for (const language of R.languages) Object.assign(STRINGS[language], more[language]); };
  R.strings = STRINGS;
}
