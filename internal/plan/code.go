package plan

import "github.com/gorge-stream/gorge/internal/diag"

// The codes of this package. docs/reference/errors.md shows each with an
// example, made from testdata/errors.
const (
	codeSyntax       diag.Code = "plan/syntax"
	codeTooLarge     diag.Code = "plan/too-large"
	codeFeature      diag.Code = "plan/yaml-feature"
	codeDuplicateKey diag.Code = "plan/duplicate-key"
	codeVariable     diag.Code = "plan/variable"
	codeSet          diag.Code = "plan/set"
	codeUnknownKey   diag.Code = "plan/unknown-key"
	codeMissing      diag.Code = "plan/missing"
	codeType         diag.Code = "plan/type"
	codeRange        diag.Code = "plan/range"
	codeWord         diag.Code = "plan/word"
	codeName         diag.Code = "plan/name"
	codeConnector    diag.Code = "plan/connector"
	codeFormat       diag.Code = "plan/format"
	codeSchema       diag.Code = "plan/schema"
	codeOperation    diag.Code = "plan/operation"
	codeInput        diag.Code = "plan/unknown-input"
	codeCycle        diag.Code = "plan/cycle"
	codeColumn       diag.Code = "plan/column"
	codeExpression   diag.Code = "plan/expression"
	codeEventTime    diag.Code = "plan/event-time"
	codeAggregate    diag.Code = "plan/aggregate"
	codeFunction     diag.Code = "plan/function"
	codeSink         diag.Code = "plan/sink"
	codeDelivery     diag.Code = "plan/delivery"
	codeNeverThere   diag.Code = "plan/never-there"
	codeUnread       diag.Code = "plan/unread"
)
