namespace Penstock.Vfio;

/// <summary>What is being done, for errors. Calls are named by their range only once somebody has to be told: most of them succeed.</summary>
/// <param name="Call">The call.</param>
/// <param name="Iova">First address; null when the call chooses one.</param>
/// <param name="Length">Length in bytes; null when the call has no range.</param>
internal readonly record struct RangeCall(string Call, ulong? Iova, ulong? Length)
{
    public static implicit operator RangeCall(string call) => new(call, null, null);

    public static implicit operator string(RangeCall call) => call.ToString();

    public override string ToString() => Length is null ? Call
        : Iova is null ? $"{Call} of 0x{Length:x} bytes"
        : $"{Call} [0x{Iova:x}, +0x{Length:x})";
}
