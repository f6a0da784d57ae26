namespace Penstock.Specs.Nvme;

/// <summary>Fields of Identify (NVM Express base specification 1.4, section 5.15).</summary>
public static class NvmeIdentifyBits
{
    /// <summary>CNS, in dword 10.</summary>
    public const uint CnsMask = 0xff;

    /// <summary>Where the controller identifier stands in dword 10.</summary>
    public const int ControllerIdShift = 16;

    /// <summary>Where the command set stands in dword 11.</summary>
    public const int CommandSetShift = 24;
}
