// Original file: proto/agent.proto


export interface CsiDriverReply {
}

export interface CsiDriverReply__Output {
}
