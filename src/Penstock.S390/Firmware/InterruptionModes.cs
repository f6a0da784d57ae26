using Penstock.Specs.Zpci;

namespace Penstock.S390;

/// <summary>
/// How often adapter interruptions of each subclass come through, as SIC sets it: all, or one and then none until it is asked for again. Masks have
/// the first subclass in the highest bit. A guest interruption state area has it in its first word, a hypervisor without one keeps its own.
/// </summary>
/// <param name="Single">Subclasses of which one interruption comes through (SIMM).</param>
/// <param name="None">Those of them that have had it (NIMM).</param>
public readonly record struct InterruptionModes(byte Single, byte None)
{
    /// <summary>Whether an operation of SIC sets the mode of a subclass.</summary>
    /// <param name="operation">The operation.</param>
    /// <returns>Whether it is <see cref="ZpciInterruptionControl.All"/> or <see cref="ZpciInterruptionControl.Single"/>.</returns>
    public static bool IsMode(ZpciInterruptionControl operation) => operation is ZpciInterruptionControl.All or ZpciInterruptionControl.Single;

    /// <summary>Whether interruptions of a subclass are held back now.</summary>
    /// <param name="mask">The subclass.</param>
    /// <returns>Whether its mode is single and it has had its one.</returns>
    public bool HoldsBack(byte mask) => (Single & None & mask) != 0;

    /// <summary>The modes after interruptions have come through.</summary>
    /// <param name="mask">Their subclasses.</param>
    /// <returns>The modes.</returns>
    public InterruptionModes Used(byte mask) => this with { None = (byte)(None | (Single & mask)) };

    /// <summary>The modes after SIC for a subclass, of which the next interruption comes through in either mode.</summary>
    /// <param name="mask">The subclass.</param>
    /// <param name="mode">The mode, for which <see cref="IsMode"/> holds.</param>
    /// <returns>The modes.</returns>
    public InterruptionModes Set(byte mask, ZpciInterruptionControl mode) =>
        new((byte)(mode == ZpciInterruptionControl.Single ? Single | mask : Single & ~mask), (byte)(None & ~mask));
}
