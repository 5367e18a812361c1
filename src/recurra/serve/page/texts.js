// Texts of the page of the server in English and Korean, beside those of the shared parts.
import { addWords } from "./words.js";

addWords({
  en: {
    skip: "Skip to the models",
    models: "Models", loading: "Loading…",
    sessionsYes: "step by step", sessionsNo: "whole inputs only",
    soundHint: "A sound file, such as WAV. It is sent to this server only.",
    insideStream: "Gates and states of the live stream: steps {from} to {to}. They are computed from the last {window} steps.", more: "More measures: gradients and memory",
    stream: "Live stream", streamLead: "A simulated sensor sends steps over a WebSocket to a session of this model. The output follows each step.", typedLead: "The letters that you type above go to a session of this model, step by step. The output follows each letter.", noSessions: "This model has no sessions: {reason}.", tableStream: "The simulated sensor sends numbers only; the steps of this model have {names} too. Its sessions are available through the interface.", wordsLead: "Each word that you complete above goes to a session of this model. The output is the tag of the newest word.",
    source: "Source", sensor: "Simulated sensor", given: "The series above, repeated", start: "Start", pause: "Pause", restart: "New session", rate: "Steps per second", noise: "Noise", faults: "Faults per 100 steps", faultNow: "Fault now", fault: "fault", sensorPlot: "Sensor", lettersPlot: "Output after each letter", lastSteps: "Last steps as a table",
    "state connecting": "Connecting…", "state open": "Session continued.", "state new": "New session.", "state lost": "Connection lost; trying again…", "state closed": "Stopped.", "state sending": "Running: {n} steps.", "state paused": "Paused after {n} steps.",
    keyTitle: "API key", keySays: "This server needs an API key. It is kept until you close this tab.", keyWrong: "The server does not know this key.", keyLabel: "Key", keyUse: "Use this key",
    offline: "No connection to the server. Next attempt in {seconds} s.", tryNow: "Try now", noAnswer: "The server cannot be reached.", status: "The server answered with status {status}.", socketRefused: "The server refused the WebSocket.", retryAfter: "Try again in {seconds} s.",
    footer: "Recurra {v}", api: "Description of the interface",
  },
  ko: {
    skip: "모델로 건너뛰기",
    models: "모델", loading: "불러오는 중…",
    sessionsYes: "스텝 단위 처리 가능", sessionsNo: "전체 입력만 가능",
    soundHint: "WAV 등의 음성 파일입니다. 이 서버로만 전송됩니다.",
    insideStream: "실시간 스트림의 게이트와 상태입니다(스텝 {from}–{to}). 최근 {window}스텝으로 계산했습니다.", more: "기울기와 기억 분석 추가",
    stream: "실시간 스트림", streamLead: "시뮬레이션 센서가 WebSocket으로 이 모델의 세션에 스텝을 보냅니다. 스텝마다 출력이 갱신됩니다.", typedLead: "위에 입력하는 글자를 이 모델의 세션에 스텝 단위로 보냅니다. 글자마다 출력이 갱신됩니다.", noSessions: "이 모델은 세션을 지원하지 않습니다. 서버의 설명: {reason}.", tableStream: "시뮬레이션 센서는 숫자만 보냅니다. 이 모델의 스텝에는 {names}도 필요합니다. 세션은 API로 사용할 수 있습니다.", wordsLead: "위에서 완성한 단어를 하나씩 이 모델의 세션에 보냅니다. 출력은 가장 최근 단어의 태그입니다.",
    source: "데이터", sensor: "시뮬레이션 센서", given: "위 시계열을 반복", start: "시작", pause: "일시 정지", restart: "새 세션", rate: "초당 스텝 수", noise: "잡음", faults: "100스텝당 고장 횟수", faultNow: "고장 발생", fault: "고장", sensorPlot: "센서", lettersPlot: "글자별 출력", lastSteps: "최근 스텝을 표로 보기",
    "state connecting": "연결 중…", "state open": "세션을 이어갑니다.", "state new": "새 세션입니다.", "state lost": "연결이 끊겨 다시 시도하는 중…", "state closed": "정지했습니다.", "state sending": "실행 중: {n}스텝.", "state paused": "{n}스텝에서 일시 정지했습니다.",
    keyTitle: "API 키", keySays: "이 서버를 사용하려면 API 키가 필요합니다. 키는 이 탭을 닫을 때까지만 보관됩니다.", keyWrong: "서버에 등록되지 않은 키입니다.", keyLabel: "키", keyUse: "이 키 사용",
    offline: "서버에 연결할 수 없습니다. {seconds}초 뒤에 다시 시도합니다.", tryNow: "지금 시도", noAnswer: "서버에 연결할 수 없습니다.", status: "서버가 상태 코드 {status}로 응답했습니다.", socketRefused: "서버가 WebSocket 연결을 거부했습니다.", retryAfter: "{seconds}초 뒤에 다시 시도하세요.",
    footer: "Recurra {v}", api: "인터페이스 설명",
  },
});
