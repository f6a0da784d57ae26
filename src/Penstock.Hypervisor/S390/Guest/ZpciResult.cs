using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor;

/// <summary>How a zPCI instruction ended.</summary>
/// <param name="ConditionCode">The condition code; without meaning when there is an exception.</param>
/// <param name="Register">What the register that names the function holds afterwards: with the status, where there is one.</param>
/// <param name="Exception">What interrupts the program instead.</param>
public readonly record struct ZpciResult(ZpciConditionCode ConditionCode, ulong Register, ZpciProgramException Exception)
{
    /// <summary>What was loaded, for the instruction that loads.</summary>
    public ulong Value { get; init; }

    /// <summary>The status in <see cref="Register"/>, which says something when the condition code is an error.</summary>
    public ZpciStatus Status => new ZpciRegister(Register).Status;

    /// <summary>Done.</summary>
    /// <param name="register">The register, which stays.</param>
    /// <returns>The result.</returns>
    internal static ZpciResult Done(ulong register) => new(ZpciConditionCode.Done, register, ZpciProgramException.None);

    /// <summary>The handle is not one of a function, or not now.</summary>
    /// <param name="register">The register, which stays.</param>
    /// <returns>The result.</returns>
    internal static ZpciResult InvalidHandle(ulong register) => new(ZpciConditionCode.InvalidHandle, register, ZpciProgramException.None);

    /// <summary>An error with a status.</summary>
    /// <param name="register">The register, which gets the status.</param>
    /// <param name="status">The status.</param>
    /// <returns>The result.</returns>
    internal static ZpciResult Failed(ulong register, ZpciStatus status) =>
        new(ZpciConditionCode.Error, (new ZpciRegister(register) with { Status = status }).Value, ZpciProgramException.None);

    /// <summary>A program interruption.</summary>
    /// <param name="register">The register, which stays.</param>
    /// <param name="exception">Which.</param>
    /// <returns>The result.</returns>
    internal static ZpciResult Interrupted(ulong register, ZpciProgramException exception) => new(ZpciConditionCode.Done, register, exception);
}
