namespace Penstock.Devices;

/// <summary>A contiguous part of a command's data, borrowed: valid only inside the scope.</summary>
/// <param name="Pointer">First byte.</param>
/// <param name="Length">Length in bytes.</param>
internal readonly unsafe record struct NvmePiece(nint Pointer, int Length)
{
    // SAFETY: the run that it was made of has this length, for as long as the scope lasts.
    internal Span<byte> Span => new((void*)Pointer, Length);
}
