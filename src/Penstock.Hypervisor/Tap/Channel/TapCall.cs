namespace Penstock.Hypervisor;

/// <summary>One call as the plugin told it, copied out of the shared memory before anything is checked.</summary>
/// <param name="Kind">What it is; any number is possible.</param>
/// <param name="R1">Register r1 before the instruction.</param>
/// <param name="Start">RPCIT: the first address. CLP: where the response begins in the data.</param>
/// <param name="Length">RPCIT: the range's length.</param>
/// <param name="R1After">Register r1 after the instruction, when it is done.</param>
/// <param name="ConditionCode">Its condition code, when it is done.</param>
/// <param name="DataLength">How much of the block there is: the FIB, or request and response of a CLP.</param>
internal readonly record struct TapCall(TapCallKind Kind, ulong R1, ulong Start, ulong Length, ulong R1After, uint ConditionCode, int DataLength)
{
    /// <summary>The function's handle.</summary>
    public uint Handle => (uint)(R1 >> 32);
}
