using Penstock.Specs.Nvme;

namespace Penstock.Drivers;

/// <summary>An NVMe command ended with an error. The text names the command and the status.</summary>
public sealed class NvmeException : Exception
{
    internal NvmeException(string command, NvmeStatus status)
        : base($"{command}: {NameOf(status)} (status 0x{(ushort)(status & NvmeStatus.CodeMask):x})")
    {
        Command = command;
        Status = status & NvmeStatus.CodeMask;
        CanBeRetried = (status & NvmeStatus.DoNotRetry) == 0;
    }

    /// <summary>The command and what it was for.</summary>
    public string Command { get; }

    /// <summary>Status code type and code, without flags.</summary>
    public NvmeStatus Status { get; }

    /// <summary>Whether the controller thinks that the same command could succeed later (DNR is clear).</summary>
    public bool CanBeRetried { get; }

    private static string NameOf(NvmeStatus status)
    {
        NvmeStatus code = status & NvmeStatus.CodeMask;
        return Enum.IsDefined(code) ? code.ToString() : "a status that has no name here";
    }
}
