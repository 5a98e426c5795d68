/** The scripts that shells load. Each asks `berth __complete -- WORDS…`: a line a candidate, `word<TAB>description`, and `:files`. */

const BASH = `# bash completion for berth: source <(berth completion bash)
_berth() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" line
  local -a lines
  COMPREPLY=()
  mapfile -t lines < <(berth __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  for line in "\${lines[@]}"; do
    if [[ $line == :files ]]; then
      compopt -o filenames 2>/dev/null
      mapfile -t -O "\${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$cur")
      continue
    fi
    line="\${line%%$'\\t'*}"
    [[ $line == "$cur"* ]] && COMPREPLY+=("$line")
  done
  if [[ \${#COMPREPLY[@]} -eq 1 && \${COMPREPLY[0]} == */ ]]; then compopt -o nospace 2>/dev/null; fi
}
complete -F _berth berth
`;

const ZSH = `#compdef berth
# zsh completion for berth: source <(berth completion zsh), or save it as _berth in a folder of $fpath
_berth() {
  local line word description
  local -a lines candidates
  lines=("\${(@f)$(berth __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  for line in $lines; do
    if [[ $line == ":files" ]]; then
      _files
      continue
    fi
    word="\${line%%$'\\t'*}"
    description=""
    [[ $line == *$'\\t'* ]] && description="\${line#*$'\\t'}"
    candidates+=("\${word//:/\\\\:}\${description:+:$description}")
  done
  (( \${#candidates} )) && _describe berth candidates
}
if [[ "\${funcstack[1]}" == "_berth" ]]; then
  _berth
else
  compdef _berth berth
fi
`;

const FISH = `# fish completion for berth: berth completion fish | source
function __berth_ask
  set -l words (commandline -opc)
  set -l current (commandline -ct)
  berth __complete -- $words[2..-1] "$current" 2>/dev/null
end
function __berth_wants_files
  __berth_ask | string match -q ':files'
end
complete -c berth -f -a '(__berth_ask | string match -v ":files")'
complete -c berth -n __berth_wants_files -F
`;

export const SCRIPTS: Readonly<Record<string, string>> = { bash: BASH, zsh: ZSH, fish: FISH };
