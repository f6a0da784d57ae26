using Penstock.Specs.Zpci;

namespace Penstock.Cli.Replay;

/// <summary>Result of a recorded call. Response is that of a CLP, or 0.</summary>
internal readonly record struct RecordedResult(ZpciConditionCode Code, ZpciStatus Status, ushort Response)
{
    public bool IsDone => Code == ZpciConditionCode.Done;
}
