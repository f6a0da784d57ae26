namespace Penstock.Lab;

/// <summary>Small programs to put into guests that have nothing but a kernel and busybox.</summary>
public static class GuestPrograms
{
    /// <summary>
    /// <c>/bin/gpio-lines</c>, which uses the kernel's GPIO character device: <c>info CHIP</c>, <c>get CHIP LINE…</c>,
    /// <c>set CHIP LINE=VALUE…</c>, <c>watch CHIP COUNT TIMEOUT_MS LINE…</c> (prints <c>ready</c>, then a line per edge,
    /// then <c>events N</c>; the timeout is per edge). Exit status 0 done, 1 failed or out of time, 2 wrong usage.
    /// </summary>
    /// <param name="architecture">The guest's architecture; only <see cref="GuestArchitecture.X86_64"/> has the program.</param>
    /// <returns>The file.</returns>
    /// <exception cref="LabException">There is no such program for that architecture.</exception>
    public static GuestFile GpioLines(GuestArchitecture architecture) => Program("gpio-lines", architecture);

    /// <summary>
    /// <c>/bin/vfio-edu GROUP DEVICE PAGES</c>, a driver for the EDU device over the guest kernel's VFIO: interrupts by pin and MSI, thousands
    /// of maps of one page, copies by DMA, a write to a read-only map that must be refused, unmaps. It says <c>vfio-edu: STEP …</c> after
    /// each step; after <c>mapped</c>, <c>unmapped</c> and the second <c>mapped</c> it waits for a line, so that the device can be
    /// looked at. Exit status 0 done, 1 something failed, 2 wrong usage.
    /// </summary>
    /// <param name="architecture">The guest's architecture; only <see cref="GuestArchitecture.X86_64"/> has the program.</param>
    /// <returns>The file.</returns>
    /// <exception cref="LabException">There is no such program for that architecture.</exception>
    public static GuestFile VfioEdu(GuestArchitecture architecture) => Program("vfio-edu", architecture);

    /// <summary>
    /// <c>/bin/vfio-nvme GROUP DEVICE PAGES [timed]</c>, a driver for an NVMe controller over the guest kernel's VFIO, for s390x guests: a submission queue that is
    /// mapped for reading only, writes to read-only, unmapped and no longer mapped pages that must be refused, many maps of one page. It says
    /// <c>vfio-nvme: STEP …</c> after each step; with <c>timed</c> it only says how long mapping and unmapping the pages took. Exit status 0 done, 1 something failed, 2 wrong usage.
    /// </summary>
    /// <returns>The file; for s390x guests only.</returns>
    public static GuestFile VfioNvme() => GuestFile.FromBytes("/bin/vfio-nvme", Embedded.Bytes("guest/vfio-nvme-s390x"), GuestFile.Executable);

    /// <summary>
    /// <c>/bin/direct-reads FILE COUNT DEPTH interrupts|polled</c>, for s390x guests: COUNT random reads of 4 KiB past the page cache, DEPTH of them under way at
    /// once, their completions by interrupt or polled for, which needs <c>nvme.poll_queues</c>. It says <c>direct-reads: RATE a second, NANOSECONDS each</c>. Exit
    /// status 0 done, 1 something failed, 2 wrong usage.
    /// </summary>
    /// <returns>The file; for s390x guests only.</returns>
    public static GuestFile DirectReads() => GuestFile.FromBytes("/bin/direct-reads", Embedded.Bytes("guest/direct-reads-s390x"), GuestFile.Executable);

    /// <summary>
    /// <c>/bin/nvme-disk COMMAND SERIAL [NUMBER]</c>, a shell script that works an NVMe disk, found by its serial number, after
    /// <c>modprobe nvme</c>: <c>wait</c>, <c>format</c>, <c>fill</c> (files and their checksums), <c>verify</c>, <c>rebind</c>, <c>reload</c> (the
    /// driver's module), <c>reset</c> (the controller, while files are written), <c>load</c>, <c>trim</c>, <c>counts</c> (I/Os and interrupts),
    /// <c>errors</c> (in the kernel's log). Its head says what each does. Exit status 0 done, 1 failed with the reason on standard error.
    /// </summary>
    /// <returns>The file; it suits every architecture.</returns>
    public static GuestFile NvmeDisk() => GuestFile.FromBytes("/bin/nvme-disk", Embedded.Bytes("guest/nvme-disk.sh"), GuestFile.Executable);

    private static GuestFile Program(string name, GuestArchitecture architecture) => architecture == GuestArchitecture.X86_64
        ? GuestFile.FromBytes($"/bin/{name}", Embedded.Bytes($"guest/{name}-x86_64"), GuestFile.Executable)
        : throw new LabException($"{name} is built for x86_64 guests only, not for {GuestPlatform.Of(architecture).Name}; use an x86_64 guest");
}
