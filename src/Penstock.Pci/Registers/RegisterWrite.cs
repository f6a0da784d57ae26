namespace Penstock.Pci;

/// <summary>Called after software wrote a register, with the masks applied.</summary>
/// <param name="before">Value before the write.</param>
/// <param name="after">Value that is stored now.</param>
/// <param name="written">What software wrote, 0 in the bytes that it did not touch.</param>
public delegate void RegisterWrite(ulong before, ulong after, ulong written);
