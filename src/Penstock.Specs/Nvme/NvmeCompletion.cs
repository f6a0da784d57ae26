using System.Runtime.InteropServices;

namespace Penstock.Specs.Nvme;

/// <summary>
/// A completion queue entry (NVM Express base specification 1.4, section 4.6). <see cref="StatusAndPhase"/> must be written last.
/// </summary>
[StructLayout(LayoutKind.Explicit, Size = Length)]
public struct NvmeCompletion
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 16;

    /// <summary>Log2 of <see cref="Length"/>, as CC.IOCQES has it.</summary>
    public const int LengthShift = 4;

    /// <summary>Offset of <see cref="StatusAndPhase"/>.</summary>
    public const int StatusOffset = 14;

    /// <summary>The phase tag in <see cref="StatusAndPhase"/>.</summary>
    public const ushort Phase = 1;

    /// <summary>How far the <see cref="NvmeStatus"/> is shifted left in <see cref="StatusAndPhase"/>.</summary>
    public const int StatusShift = 1;

    /// <summary>Dword 0, the result of the command.</summary>
    [FieldOffset(0)]
    public uint Result;

    /// <summary>Dword 1, reserved.</summary>
    [FieldOffset(4)]
    public uint Reserved;

    /// <summary>SQHD: how far the submission queue has been taken.</summary>
    [FieldOffset(8)]
    public ushort SubmissionHead;

    /// <summary>SQID.</summary>
    [FieldOffset(10)]
    public ushort SubmissionQueueId;

    /// <summary>CID.</summary>
    [FieldOffset(12)]
    public ushort CommandId;

    /// <summary>Phase in bit 0, status above.</summary>
    [FieldOffset(14)]
    public ushort StatusAndPhase;

    /// <summary>The status without the phase.</summary>
    public readonly NvmeStatus Status => (NvmeStatus)(StatusAndPhase >> StatusShift);
}
