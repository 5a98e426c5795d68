// Original file: proto/agent.proto


export interface ClaimResizedReply {
}

export interface ClaimResizedReply__Output {
}
