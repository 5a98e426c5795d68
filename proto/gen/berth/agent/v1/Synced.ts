// Original file: proto/agent.proto


export interface Synced {
}

export interface Synced__Output {
}
