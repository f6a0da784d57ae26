namespace Penstock.Hypervisor;

/// <summary>What becomes of an instruction.</summary>
/// <param name="Action">Who does it.</param>
/// <param name="ConditionCode">Its condition code when it is done.</param>
/// <param name="R1">Its first register when it is done.</param>
internal readonly record struct TapAnswer(TapAction Action, uint ConditionCode, ulong R1)
{
    /// <summary>Left to QEMU.</summary>
    public static TapAnswer GoOn => default;

    /// <summary>Left to QEMU, whose result is told.</summary>
    public static TapAnswer GoOnAndTell => new(TapAction.GoOnAndTell, 0, 0);

    public static TapAnswer Is(uint conditionCode, ulong r1) => new(TapAction.Done, conditionCode, r1);
}
