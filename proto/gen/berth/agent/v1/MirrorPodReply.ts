// Original file: proto/agent.proto


export interface MirrorPodReply {
}

export interface MirrorPodReply__Output {
}
