namespace Penstock.Cli.Replay;

/// <summary>Calls of a recording, as far as they matter for mappings.</summary>
internal enum RecordedCallKind
{
    Rpcit,
    Mpcifc,
    SetFunction,
    OtherClp,
}
