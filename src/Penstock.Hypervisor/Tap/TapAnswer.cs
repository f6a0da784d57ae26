namespace Penstock.Hypervisor;

/// <summary>What becomes of an instruction.</summary>
/// <param name="Action">0: QEMU does it; 1: QEMU does it and the result is told; 2: it is done.</param>
/// <param name="ConditionCode">Its condition code when it is done.</param>
/// <param name="R1">Its first register when it is done.</param>
internal readonly record struct TapAnswer(uint Action, uint ConditionCode, ulong R1)
{
    private const uint Done = 2;

    /// <summary>Left to QEMU.</summary>
    public static TapAnswer GoOn => default;

    /// <summary>Left to QEMU, whose result is told.</summary>
    public static TapAnswer GoOnAndTell => new(1, 0, 0);

    public static TapAnswer Is(uint conditionCode, ulong r1) => new(Done, conditionCode, r1);
}
